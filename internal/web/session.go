package web

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/eidermail/eider/internal/auth"
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/web/ui"
)

const (
	longSession  = 30 * 24 * time.Hour // "stay logged in", and after creation
	shortSession = 24 * time.Hour      // ends with the browser, or after a day
	showPassword = 30 * time.Minute    // how long a new password is shown
)

// cookieName is bound to TLS where there is TLS. Over plain HTTP the port is
// part of it, because cookies do not know ports and two servers on one
// machine would log each other's users out.
func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return "__Host-eider"
	}
	if _, port, err := net.SplitHostPort(r.Host); err == nil && port != "" {
		return "eider-" + port
	}
	return "eider"
}

func (s *Site) setCookie(c *call, name, value, path string, life time.Duration) {
	k := &http.Cookie{Name: name, Value: value, Path: path, HttpOnly: true, Secure: c.r.TLS != nil,
		SameSite: http.SameSiteLaxMode, MaxAge: int(life / time.Second)}
	if life < 0 {
		k.MaxAge = -1
	}
	http.SetCookie(c.w, k)
}

// logIn gives the browser a session. A short one ends with the browser.
func (s *Site) logIn(c *call, id auth.Identity, long bool) {
	if long {
		s.setCookie(c, cookieName(c.r), s.o.Auth.Cookie(id, longSession), "/", longSession)
		return
	}
	s.setCookie(c, cookieName(c.r), s.o.Auth.Cookie(id, shortSession), "/", 0)
}

// forget asks the browser to drop what it kept of the pages.
func (s *Site) forget(c *call) {
	if sendsFetchMetadata(c.r) {
		c.w.Header().Set("Clear-Site-Data", `"cache"`)
	}
}

func (s *Site) logOut(c *call) {
	s.setCookie(c, cookieName(c.r), "", "/", -1)
	s.setCookie(c, onceName(c.r), "", "/account", -1)
}

// identify reads the cookie. No or a wrong cookie is no error; trouble of the
// store is.
func (s *Site) identify(ctx context.Context, c *call) error {
	k, err := c.r.Cookie(cookieName(c.r))
	if err != nil || len(k.Value) > 512 {
		return nil
	}
	id, err := s.o.Auth.ParseCookie(ctx, k.Value)
	switch {
	case err == nil:
		c.id = &id
		return nil
	case errors.Is(err, auth.ErrBadCredentials), errors.Is(err, auth.ErrNoAccount), errors.Is(err, auth.ErrDisabled),
		mailstore.KindOf(err) == mailstore.NotExist:
		return nil
	}
	return err
}

// shell fills in what is around a page. A store that is away leaves out the count.
func (s *Site) shell(c *call, title, here string) ui.Shell {
	sh := ui.Shell{Title: title, Here: here, Nonce: c.nonce, Path: c.r.URL.RequestURI(),
		Note: notes[c.r.URL.Query().Get("done")], Private: c.class != classApp}
	if k, err := c.r.Cookie("theme"); err == nil && (k.Value == "dark" || k.Value == "light") {
		sh.Theme = k.Value
	}
	if c.id != nil {
		if c.user == nil {
			c.user = &ui.User{Address: c.id.Address}
			if box, err := s.o.Store.Mailbox(c.ctx, c.id.Acct, inbox); err == nil {
				c.user.Unread = box.Unseen
			}
		}
		sh.User = c.user
	}
	return sh
}

// notes are what a page says after an action: "?done=KEY".
var notes = map[string]*ui.Note{
	"deleted":  {Text: "Deleted."},
	"read":     {Text: "Marked as read."},
	"unread":   {Text: "Marked as unread."},
	"nothing":  {Text: "Nothing was selected.", Bad: true},
	"password": {Text: "The account has a new password. All other logins have ended."},
	"links":    {Text: "All links that were shared until now have ended."},
	"gone":     {Text: "The account and its mail are deleted."},
	"out":      {Text: "You are logged out."},
	"unknown":  {Text: "The password is not known any more. Change it to get a new one.", Bad: true},
}

func onceName(r *http.Request) string {
	if r.TLS != nil {
		return "__Secure-eider-new"
	}
	return cookieName(r) + "-new"
}

// A new password is shown once and stored nowhere: it travels through the
// redirect in a cookie that only this server can read, for half an hour. The
// key is a MAC of the server's, so nothing needs to be remembered.

func (s *Site) onceKey(id auth.Identity, expires time.Time) (cipher.AEAD, error) {
	var who [12]byte
	binary.BigEndian.PutUint64(who[:], uint64(id.Acct))
	binary.BigEndian.PutUint32(who[8:], id.CredEpoch)
	key := sha256.Sum256([]byte(s.o.Auth.Sign("new password", string(who[:]), expires)))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// keepPassword puts a new password into the cookie.
func (s *Site) keepPassword(c *call, id auth.Identity, password string) {
	expires := s.o.Now().Add(showPassword)
	aead, err := s.onceKey(id, expires)
	if err != nil {
		return // the page then says that it is not known
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(expires.Unix()))
	b = aead.Seal(b, nil, []byte(password), nil)
	s.setCookie(c, onceName(c.r), base64.RawURLEncoding.EncodeToString(b), "/account", showPassword)
}

// keptPassword reads it back; "" if there is none, or it is another account's
// or an old one.
func (s *Site) keptPassword(c *call) string {
	k, err := c.r.Cookie(onceName(c.r))
	if err != nil || c.id == nil || len(k.Value) > 2048 {
		return ""
	}
	b, err := base64.RawURLEncoding.DecodeString(k.Value)
	if err != nil || len(b) < 8 {
		return ""
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	if !s.o.Now().Before(expires) || expires.After(s.o.Now().Add(2*showPassword)) {
		return ""
	}
	aead, err := s.onceKey(*c.id, expires)
	if err != nil {
		return ""
	}
	password, err := aead.Open(nil, nil, b[8:], nil)
	if err != nil {
		return ""
	}
	return string(password)
}

func (s *Site) loginPage(c *call) error {
	if c.id != nil {
		http.Redirect(c.w, c.r, local(c.r.URL.Query().Get("next"), "/messages"), http.StatusSeeOther)
		return nil
	}
	s.show(c, http.StatusOK, ui.Login{Shell: s.shell(c, "Log in", "login"), Next: c.r.URL.Query().Get("next")})
	return nil
}

func (s *Site) login(c *call) error {
	if err := c.r.ParseForm(); err != nil {
		return formError(err)
	}
	f := c.r.PostForm
	user, next := strings.TrimSpace(f.Get("user")), f.Get("next")
	id, err := s.o.Auth.Password(c.ctx, c.peer, user, f.Get("pass"))
	if err != nil {
		code, text := http.StatusUnprocessableEntity, ""
		switch {
		case errors.Is(err, auth.ErrBadCredentials), errors.Is(err, auth.ErrNoAccount):
			text = "Address or password is wrong."
		case errors.Is(err, auth.ErrThrottled):
			code, text = http.StatusTooManyRequests, "Too many attempts. Wait a minute, then try again."
			c.w.Header().Set("Retry-After", "60")
		default:
			return err
		}
		s.show(c, code, ui.Login{Shell: s.shell(c, "Log in", "login"), Address: cut(user, 320), Next: next, Failed: text})
		return nil
	}
	s.logIn(c, id, f.Get("keep") != "")
	http.Redirect(c.w, c.r, local(next, "/messages"), http.StatusSeeOther)
	return nil
}

func (s *Site) logoutPage(c *call) error {
	if c.id == nil {
		http.Redirect(c.w, c.r, "/", http.StatusSeeOther)
		return nil
	}
	s.show(c, http.StatusOK, ui.Logout{Shell: s.shell(c, "Log out", "")})
	return nil
}

func (s *Site) logout(c *call) error {
	s.logOut(c)
	s.forget(c)
	http.Redirect(c.w, c.r, "/?done=out", http.StatusSeeOther)
	return nil
}

// theme keeps the choice of light or dark, for browsers without scripts.
func (s *Site) theme(c *call) error {
	if err := c.r.ParseForm(); err != nil {
		return formError(err)
	}
	if v := c.r.PostForm.Get("theme"); v == "dark" || v == "light" {
		http.SetCookie(c.w, &http.Cookie{Name: "theme", Value: v, Path: "/", MaxAge: 31536000,
			SameSite: http.SameSiteLaxMode, Secure: c.r.TLS != nil})
	}
	http.Redirect(c.w, c.r, local(c.r.PostForm.Get("back"), "/"), http.StatusSeeOther)
	return nil
}

// formError tells a body that is too long from one that is broken.
func formError(err error) error {
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return err
	}
	return errForm
}

// cut shortens text to n bytes at most, at a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
