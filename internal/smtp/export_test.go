package smtp

// MaxLinger is asked for by nobody outside of the package.
const MaxLinger = maxLinger
