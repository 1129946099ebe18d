package mongokv

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"
)

// SetFormat plants another version of the format.
func (s *Store) SetFormat(ctx context.Context, version int) error {
	_, err := s.kv.Database().Collection("meta").UpdateOne(ctx, bson.D{{Key: "_id", Value: "format"}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "version", Value: version}}}})
	return err
}

// TestKeys: ids sort as keys do, and give them back.
func TestKeys(t *testing.T) {
	t.Parallel()
	k := newKeys()
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "a")
		b := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 40), rapid.Just(append(bytes.Clone(a), 0))).Draw(t, "b")
		if bytes.Compare(a, b) != strings.Compare(k.id(a), k.id(b)) {
			t.Fatalf("%x %x sort as %q %q", a, b, k.id(a), k.id(b))
		}
		got, err := k.key(k.id(a))
		if err != nil || !bytes.Equal(got, a) {
			t.Fatalf("%x: %x %v", a, got, err)
		}
	})
	for _, id := range []string{"A", "A=", "!", "AB C"} {
		if key, err := k.key(id); err == nil {
			t.Errorf("%q is taken for %x", id, key)
		}
	}
}
