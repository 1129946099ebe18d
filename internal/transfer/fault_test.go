package transfer_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eidermail/eider/internal/kv/faultkv"
	"github.com/eidermail/eider/internal/transfer/archive"
)

// rows is told without the order in which messages came.
func rows(told []string) []string {
	var out []string
	for _, l := range told {
		if rest, ok := strings.CutPrefix(l, "message "); ok {
			_, l, _ = strings.Cut(rest, " ")
		}
		out = append(out, l)
	}
	slices.Sort(out)
	return out
}

// TestFailingImport fails the n-th write of an import, before and after it is
// done. The import tells it, and when it is run again everything is there once.
// What the failed one left behind is clean (see newWorld).
func TestFailingImport(t *testing.T) {
	t.Parallel()
	from := newWorld(t)
	id := from.fill(t, "a@x.test", 45)
	want := rows(from.told(t, id))
	data := from.export(t, id)
	broken := errors.New("broken on purpose")
	for _, when := range []faultkv.When{faultkv.Before, faultkv.After} {
		for n, more := 1, true; more; n += 1 + n/3 {
			to := newWorld(t)
			struck, remove := to.fault.Add(faultkv.Fault{Ops: faultkv.Writes, Nth: n, When: when, Err: broken})
			res, err := to.imported(archive.Read(bytes.NewReader(data)), nil)
			if more = struck() > 0; more && err == nil && res.Failed == 0 && len(res.Problems) == 0 {
				t.Errorf("write %d failed, and nothing is told: %+v", n, res)
			}
			remove()
			res, err = to.imported(archive.Read(bytes.NewReader(data)), nil)
			if err != nil || res.Failed != 0 || len(res.Problems) != 0 {
				t.Fatalf("write %d: the second import: %+v %v", n, res, err)
			}
			there, err := to.Lookup(t.Context(), "a@x.test")
			must(t, err)
			if d := cmp.Diff(want, rows(to.told(t, there))); d != "" {
				t.Fatal(fmt.Sprintf("write %d, %d: ", n, when) + d)
			}
		}
	}
}
