package web

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/web/ui"
)

// class decides the security headers of an answer.
type class int

// The classes of answers.
const (
	classApp    class = iota // pages without mail
	classMail                // pages with mail or secrets: never kept by anyone
	classFrag                // a piece of a page, for our own scripts
	classFile                // downloads and plain text
	classFrame               // a mail's HTML
	classImage               // an image that a mail's HTML shows
	classEvents              // server-sent events
	classStatic              // our own files
)

const (
	cspClosed = "default-src 'none'; sandbox"

	cspFrameHead = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src 'self' data:"
	cspFrameTail = "; style-src 'unsafe-inline'; font-src data:; form-action 'none'; base-uri 'none'; " +
		"frame-ancestors 'self'"
	cspFrame = cspFrameHead + cspFrameTail
	// cspFrameImages lets the reader's own browser fetch images, when asked to.
	cspFrameImages = cspFrameHead + " https: http:" + cspFrameTail
)

// cspApp is the policy of our own pages. The one Trusted Types policy, frag,
// is the only way for our scripts to turn text into markup.
func cspApp(nonce string) string {
	return "default-src 'none'; script-src 'nonce-" + nonce + "'; style-src 'self'; img-src 'self' data:; " +
		"connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; " +
		"manifest-src 'self'; require-trusted-types-for 'script'; trusted-types frag"
}

// secure sets the headers of a class, before anything is written.
func secure(h http.Header, c class, nonce string) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Cache-Control", "private, no-store")
	// Not no-referrer: with it a form's Origin would be "null" and refused.
	h.Set("Referrer-Policy", "same-origin")
	switch c {
	case classApp, classMail:
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", cspApp(nonce))
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Vary", "X-Frag, Cookie")
		if c == classApp {
			h.Set("Cache-Control", "private, no-cache")
			h.Del("X-Robots-Tag")
		}
	case classFrag:
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", cspClosed)
		h.Set("X-Frag", "1")
		h.Set("Vary", "X-Frag, Cookie")
	case classFile:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Content-Security-Policy", cspClosed)
		h.Set("Referrer-Policy", "no-referrer")
	case classFrame:
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", cspFrame)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-DNS-Prefetch-Control", "off")
	case classImage:
		h.Set("Content-Security-Policy", cspClosed)
		h.Set("Referrer-Policy", "no-referrer")
		// The frame's origin is opaque: to it even our own server is another site.
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	case classEvents:
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "private, no-store, no-transform")
		h.Set("Vary", "Cookie")
		h.Set("X-Accel-Buffering", "no")
		h.Set("Content-Security-Policy", cspClosed)
	case classStatic:
		h.Set("Content-Security-Policy", "default-src 'none'")
		h.Set("Cache-Control", "no-cache")
		h.Del("X-Robots-Tag")
	}
}

// call is one request on its way through a page.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	ctx   context.Context
	nonce string
	class class
	peer  netip.Addr
	proxy bool // who is behind it cannot be known
	id    *auth.Identity
	user  *ui.User
}

// ServeHTTP checks the name that was asked for before anything else.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.o.Health != nil && (r.URL.Path == "/healthz" || r.URL.Path == "/readyz") {
		s.o.Health.ServeHTTP(w, r)
		return
	}
	if !s.o.Policy.HostAllowed(r.Host) {
		secure(w.Header(), classFile, "")
		w.WriteHeader(http.StatusMisdirectedRequest)
		_, _ = w.Write([]byte("This server does not know itself by that name. Allow it with --allow-host NAME.\n"))
		return
	}
	s.mux.ServeHTTP(w, r)
}

// handle wraps a page: headers, origin, body limit, store budget, session.
func (s *Site) handle(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: w, r: r, ctx: r.Context(), class: rt.class, nonce: rand.Text()}
		c.peer, c.proxy = peerOf(r), s.o.ViaProxy(r) || forwarded(r)
		if rt.class == classMail && r.Header.Get("X-Frag") == "1" && r.Method == http.MethodGet {
			c.class = classFrag
		}
		secure(w.Header(), c.class, c.nonce)
		if !sendsFetchMetadata(r) { // browsers heed it in secure contexts only, and complain elsewhere
			w.Header().Del("Cross-Origin-Opener-Policy")
		}
		if r.TLS != nil && s.o.Policy.Public() {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		}
		if err := s.origins.Check(r); err != nil {
			s.fail(c, errForeign)
			return
		}
		if c.class == classFrag && !ownScript(r) {
			s.fail(c, errForeign)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, MaxForm)
		if rt.class != classEvents {
			ctx, cancel := context.WithTimeout(r.Context(), s.o.Budget)
			defer cancel()
			c.ctx = ctx
		}
		if err := s.enter(c, rt); err != nil {
			s.fail(c, err)
			return
		}
		if err := rt.serve(s, c); err != nil {
			s.fail(c, err)
		}
	})
}

// enter learns who asks, where a page shows it.
func (s *Site) enter(c *call, rt route) error {
	switch rt.class {
	case classFrame, classImage, classStatic:
		return nil // cookies do not count here
	}
	budget := s.o.Budget
	if !rt.owner {
		budget /= 5 // a page for anyone does not wait long to know whom it greets
	}
	ctx, cancel := context.WithTimeout(c.ctx, budget)
	defer cancel()
	err := s.identify(ctx, c)
	if rt.owner && c.id == nil {
		if err != nil {
			return err
		}
		return errLogin
	}
	return nil // a page for anyone is shown to a stranger if the store is away
}

// ownScript tells that a request was made by a script of our own pages. Where
// the browser sends no Sec-Fetch headers (plain HTTP to another machine), the
// X-Frag header itself tells: no foreign page can add it.
func ownScript(r *http.Request) bool {
	site, dest := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Sec-Fetch-Dest")
	return (site == "" || site == "same-origin") && (dest == "" || dest == "empty")
}

// sendsFetchMetadata tells whether a browser would send Sec-Fetch headers with
// this request: it does to hosts it calls trustworthy (Secure Contexts §3.1).
func sendsFetchMetadata(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func peerOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// forwarded tells that a proxy passed the request on for somebody else.
func forwarded(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}
