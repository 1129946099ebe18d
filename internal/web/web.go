package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/eidermail/eider/internal/advert"
	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/diag"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/policy"
	"github.com/eidermail/eider/internal/provision"
	"github.com/eidermail/eider/internal/web/ui"
)

// Limit: the time that one page may wait for the store.
const StoreBudget = 5 * time.Second

// Limit: bytes of the body of a form.
const MaxForm = 256 << 10

// Options configure a Site.
type Options struct {
	Store     *mailstore.Store
	Auth      *auth.Auth
	Policy    *policy.Policy
	Provision *provision.Provisioner
	Advert    *advert.Advert
	// API serves /v1/, /user and /openapi.json; nil: these are not there.
	API http.Handler
	// Faces serves /api/v1/, /api/v2/ and /view/, as other catchers do; nil: these are not there.
	Faces http.Handler
	// Health serves /healthz and /readyz to any Host; nil: these are not there.
	Health http.Handler
	Log    *slog.Logger
	Now    func() time.Time // time.Now if nil
	// Ping tells whether the store answers, for /status; nil: an account is looked up.
	Ping func(context.Context) error
	// Budget is how long a page waits for the store; StoreBudget if zero.
	Budget time.Duration
	// Limits are what an account may hold if it has none of its own.
	Limits mailstore.AccountLimits
	// Domain is the part after the @ of addresses here.
	Domain string
	// Version is shown on /status.
	Version string
	// CA is the certificate (PEM) to trust for the self-signed TLS ports, nil if there is none.
	CA []byte
	// AbuseContact is where strangers report a message: a mail address or a URL.
	AbuseContact string
	// Stories are the last connections, explained by Facts; nil: none are shown.
	Stories *diag.Log
	Facts   diag.Facts
	// ViaProxy tells that a request came through a PROXY listener; nil: none did.
	ViaProxy func(*http.Request) bool
}

// Site serves the pages.
type Site struct {
	o       Options
	ui      *ui.UI
	mux     *http.ServeMux
	origins *http.CrossOriginProtection
	started time.Time
	streams streams

	closing   chan struct{}
	closeOnce sync.Once
}

// New checks the options and parses the templates.
func New(o Options) (*Site, error) {
	if o.Store == nil || o.Auth == nil || o.Policy == nil || o.Advert == nil {
		return nil, errors.New("web: store, auth, policy and advert are needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Budget <= 0 {
		o.Budget = StoreBudget
	}
	if o.ViaProxy == nil {
		o.ViaProxy = func(*http.Request) bool { return false }
	}
	u, err := ui.New()
	if err != nil {
		return nil, err
	}
	s := &Site{o: o, ui: u, mux: http.NewServeMux(), origins: http.NewCrossOriginProtection(),
		started: o.Now(), closing: make(chan struct{})}
	for _, r := range s.routes() {
		s.mux.Handle(r.pattern, s.handle(r))
	}
	s.mux.Handle("/", s.handle(route{class: classApp, serve: (*Site).notFound}))
	if o.API != nil {
		for _, p := range apiPaths() {
			s.mux.Handle(p, o.API)
		}
	}
	if o.Faces != nil {
		for _, p := range facePaths() {
			s.mux.Handle(p, o.Faces)
		}
	}
	return s, nil
}

func apiPaths() []string { return []string{"/v1/", "/user", "/openapi.json"} }

func facePaths() []string { return []string{"/api/v1/", "/api/v2/", "/view/"} }

// ForPrograms tells whether a path is of the API, or of the faces of other
// catchers, and no page.
func ForPrograms(path string) bool {
	for _, p := range append(apiPaths(), facePaths()...) {
		if path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// Close ends all event streams, so that a server can drain; browsers then ask
// another server. Pages are still served.
func (s *Site) Close() { s.closeOnce.Do(func() { close(s.closing) }) }

// route is one page.
type route struct {
	pattern string
	class   class
	// owner pages send visitors without a session to the login.
	owner bool
	serve func(*Site, *call) error
}

func (s *Site) routes() []route {
	return []route{
		{"GET /{$}", classApp, false, (*Site).home},
		{"GET /create", classApp, false, (*Site).createPage},
		{"POST /create", classApp, false, (*Site).create},
		{"POST /catch-all", classApp, false, (*Site).openCatchAll},
		{"GET /login", classApp, false, (*Site).loginPage},
		{"POST /login", classApp, false, (*Site).login},
		{"GET /logout", classApp, false, (*Site).logoutPage},
		{"POST /logout", classApp, false, (*Site).logout},
		{"POST /theme", classApp, false, (*Site).theme},
		{"GET /help", classApp, false, (*Site).help},
		{"GET /status", classApp, false, (*Site).status},
		{"GET /account", classMail, true, (*Site).account},
		{"GET /account/credentials.csv", classFile, true, (*Site).credentials},
		{"POST /account/password", classMail, true, (*Site).newPassword},
		{"POST /account/links", classMail, true, (*Site).endLinks},
		{"POST /account/delete", classMail, true, (*Site).deleteAccount},
		{"GET /messages", classMail, true, (*Site).messages},
		{"POST /messages", classMail, true, (*Site).act},
		{"GET /messages/{id}", classMail, true, (*Site).message},
		{"GET /messages/{id}/source", classFile, true, (*Site).source},
		{"GET /messages/{id}/message.eml", classFile, true, (*Site).eml},
		{"GET /messages/{id}/attachments/{file}", classFile, true, (*Site).attachment},
		{"GET /messages/{id}/parts/{part}", classFile, true, (*Site).part},
		{"GET /message/{msgid}", classMail, false, (*Site).permalink},
		{"GET /message/{msgid}/source", classFile, false, (*Site).source},
		{"GET /message/{msgid}/message.eml", classFile, false, (*Site).eml},
		{"GET /message/{msgid}/attachments/{file}", classFile, false, (*Site).attachment},
		{"GET /message/{msgid}/parts/{part}", classFile, false, (*Site).part},
		{"GET /attachment/{msgid}/{file}", classFile, false, (*Site).attachment},
		{"GET /f/{token}/{$}", classFrame, false, (*Site).frame},
		{"GET /f/{token}/cid/{part}", classImage, false, (*Site).inlineImage},
		{"GET /events", classEvents, true, (*Site).events},
		{"GET /static/", classStatic, false, (*Site).static},
		{"GET /robots.txt", classFile, false, (*Site).robots},
		{"GET /favicon.ico", classFile, false, (*Site).noFavicon},
		{"GET /ca.crt", classFile, false, (*Site).ca},
	}
}

// Patterns lists the routes of the pages, for tests that walk them all and for
// documentation.
func (s *Site) Patterns() []string {
	var out []string
	for _, r := range s.routes() {
		out = append(out, r.pattern)
	}
	return out
}
