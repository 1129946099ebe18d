// Package obs is what servers use to be observed: loggers that escape outside text, and metrics.
package obs
