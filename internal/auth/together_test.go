package auth_test

import (
	"errors"
	"testing"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/bus/membus"
	"github.com/eidermail/eider/internal/mailstore/account"
)

// TestTogether: guesses are counted at all servers, a right password is not,
// and one server's throttle is no way around the others'.
func TestTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("p@d.example", "a chosen password", account.Chosen)
	shared := membus.NewLimits(w.now)
	var nodes []*auth.Auth
	for range 3 {
		a, err := auth.New(t.Context(), auth.Options{Store: w.store, Rings: w.rings, Domain: "d.example", Now: w.now, Limiter: shared})
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, a)
	}
	// Right ones cost nothing, however many.
	for i := range 2 * auth.FailBurst {
		if _, err := nodes[i%3].Password(t.Context(), far, "p", "a chosen password"); err != nil {
			t.Fatalf("login %d: %v", i, err)
		}
	}
	for i := range auth.FailBurst {
		if _, err := nodes[i%3].Password(t.Context(), far, "p", "wrong"); !errors.Is(err, auth.ErrBadCredentials) {
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	for i, a := range nodes {
		if _, err := a.Password(t.Context(), far, "p", "wrong again"); !errors.Is(err, auth.ErrThrottled) {
			t.Errorf("server %d takes an eleventh guess: %v", i, err)
		}
	}
	w.wait(auth.FailBurst * auth.FailEvery)
	if _, err := nodes[2].Password(t.Context(), far, "p", "wrong"); !errors.Is(err, auth.ErrBadCredentials) {
		t.Errorf("after the wait: %v", err)
	}
}
