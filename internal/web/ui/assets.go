package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// assets are the static files, each read, hashed and compressed once. All lie
// below one folder named by the hash of them all, so that modules import each
// other by relative names and a new version is a new address.
type assets struct {
	base  string // "/static/<hash>/"
	files map[string]asset
	icons map[string]template.HTML
}

type asset struct {
	raw, gz []byte
	ctype   string
}

// assetTypes fixes the type by extension; nothing is sniffed.
var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

func loadAssets(root fs.FS) (*assets, error) {
	a := &assets{files: map[string]asset{}}
	sum := sha256.New()
	err := fs.WalkDir(root, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		ctype, ok := assetTypes[path.Ext(name)]
		if !ok {
			return fmt.Errorf("ui: static file %s has no known type", name)
		}
		gz, err := deflate(raw)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%s %d\n", name, len(raw))
		sum.Write(raw)
		a.files[strings.TrimPrefix(name, "static/")] = asset{raw: raw, gz: gz, ctype: ctype}
		return nil
	})
	a.base = "/static/" + hex.EncodeToString(sum.Sum(nil))[:12] + "/"
	a.drawIcons()
	return a, err
}

func deflate(raw []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
}

// Static serves the static files under "/static/". A name under another hash
// is an old page's: it is answered with today's file, but not to be kept.
func (u *UI) Static(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/static/")
	hash, name, _ := strings.Cut(rest, "/")
	f, found := u.assets.files[name]
	if !ok || !found {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.ctype)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if "/static/"+hash+"/" == u.assets.base {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := f.raw
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.gz
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that went away is no fault of ours
	}
}
