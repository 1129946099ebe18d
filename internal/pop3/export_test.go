package pop3

// The limits that nobody outside of the package asks for.
const (
	MaxLinger = maxLinger
	MaxLogin  = maxLogin
	MaxCauses = maxCauses
)
