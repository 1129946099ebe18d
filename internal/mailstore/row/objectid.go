package row

import (
	"fmt"
	"math/bits"
)

// Salted mixes an account into a number, one to one.
func Salted(acct, v uint64) string {
	v = (v ^ acct) * 0x9e3779b97f4a7c15
	v = (v ^ v>>32) * 0xd6e8feb86659fd93
	return fmt.Sprintf("%016x", bits.RotateLeft64(v, 29)^acct)
}
