package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/eidermail/eider/internal/auth"
)

type callerKey struct{}

// caller is who asks, and under which address the pages are for them.
type caller struct {
	auth.Identity
	base string
}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// identify proves who asks, or answers the request itself.
func (a *API) identify(w http.ResponseWriter, r *http.Request) (*http.Request, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), StoreBudget)
	defer cancel()
	id, err := a.authorize(ctx, r)
	switch {
	case err == nil:
		c := caller{Identity: id, base: a.o.Advert.For(r.Host, r.TLS != nil).Web}
		return r.WithContext(context.WithValue(r.Context(), callerKey{}, c)), true
	case errors.Is(err, auth.ErrThrottled):
		w.Header().Set("Retry-After", "10")
		WriteProblem(w, http.StatusTooManyRequests, "Too many wrong passwords; wait a little.")
	case errors.Is(err, errNoAuthorization), errors.Is(err, auth.ErrBadCredentials),
		errors.Is(err, auth.ErrNoAccount), errors.Is(err, auth.ErrDisabled):
		challenge(w, r)
		WriteProblem(w, http.StatusUnauthorized,
			"Send the account's user and pass (Basic) or its token (Bearer) in the Authorization header.")
	default:
		a.writeError(w, "authorize", err)
	}
	return nil, false
}

// still fails where who asked may not have what is about to be sent: the account
// has another password by now, is disabled, or is gone. One read.
func (a *API) still(ctx context.Context, c caller) error {
	err := a.o.Auth.Still(ctx, c.Identity)
	if auth.Stale(err) {
		return errEnded
	}
	return err
}

// errEnded is for who was let in and would not be any more.
var errEnded = errors.New("api: the credentials do not hold any more")

// challenge offers Basic to programs only: a browser would open a dialog, and
// would then send the password along with requests of other origins.
func challenge(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Origin") != "" {
		return
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "Sec-Fetch-") {
			return
		}
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="eider", charset="UTF-8"`)
}

var errNoAuthorization = errors.New("api: no usable Authorization header")

// maxAuthorization bounds the header before anything looks into it.
const maxAuthorization = 2048

func (a *API) authorize(ctx context.Context, r *http.Request) (auth.Identity, error) {
	h := r.Header.Values("Authorization")
	if len(h) != 1 || len(h[0]) > maxAuthorization {
		return auth.Identity{}, errNoAuthorization
	}
	if user, pass, ok := r.BasicAuth(); ok {
		return a.o.Auth.Password(ctx, peerOf(r), user, pass)
	}
	scheme, token, ok := strings.Cut(h[0], " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		return a.o.Auth.Bearer(ctx, strings.TrimSpace(token))
	}
	return auth.Identity{}, errNoAuthorization
}

// peerOf is the client's address.
func peerOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// forwarded tells that a proxy stands between: who is behind it cannot be known.
func forwarded(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" {
			return true
		}
	}
	return false
}
