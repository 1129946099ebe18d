package mongokv

import (
	"encoding/base64"
	"fmt"

	"github.com/eidermail/eider/internal/kv"
)

// digits are in the order of ASCII, so that encoded keys sort as the bytes do.
// (BinData sorts by length first, standard base64 not at all.)
const digits = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"

// keys turns keys into ids and back.
type keys struct{ enc *base64.Encoding }

func newKeys() keys { return keys{base64.NewEncoding(digits).WithPadding(base64.NoPadding).Strict()} }

func (k keys) id(key []byte) string { return k.enc.EncodeToString(key) }

// key is never nil.
func (k keys) key(id string) ([]byte, error) {
	key, err := k.enc.DecodeString(id)
	if err != nil {
		return nil, fmt.Errorf("%w: _id %.40q is no key", kv.ErrCorrupt, id)
	}
	if key == nil {
		key = []byte{}
	}
	return key, nil
}
