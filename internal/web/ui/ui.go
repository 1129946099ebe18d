package ui

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
)

//go:embed templates/*.tmpl static
var files embed.FS

// UI renders pages and serves the static files.
type UI struct {
	pages  map[string]*template.Template
	assets *assets
	bufs   sync.Pool
}

// New parses all templates and prepares all static files.
func New() (*UI, error) {
	a, err := loadAssets(files)
	if err != nil {
		return nil, err
	}
	u := &UI{pages: map[string]*template.Template{}, assets: a}
	u.bufs.New = func() any { return new(bytes.Buffer) }
	shared, err := template.New("shared").Funcs(funcs(a)).ParseFS(files, "templates/_*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("ui: %w", err)
	}
	names, err := fs.Glob(files, "templates/[a-z]*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("ui: %w", err)
	}
	for _, name := range names {
		t, err := shared.Clone()
		if err == nil {
			t, err = t.ParseFS(files, name)
		}
		if err != nil {
			return nil, fmt.Errorf("ui: %w", err)
		}
		u.pages[strings.TrimSuffix(path.Base(name), ".tmpl")] = t
	}
	return u, nil
}

// View is a page's data: each page has its own type.
type View interface {
	page() string
	// part names the template to execute: the whole page, or a fragment of it.
	part() string
}

// Render writes a page. Nothing is written unless all of it can be.
func (u *UI) Render(w io.Writer, v View) error {
	t := u.pages[v.page()]
	if t == nil {
		return fmt.Errorf("ui: no template %q", v.page())
	}
	b := u.bufs.Get().(*bytes.Buffer)
	defer u.bufs.Put(b)
	b.Reset()
	if err := t.ExecuteTemplate(b, v.part(), v); err != nil {
		return fmt.Errorf("ui: page %s: %w", v.page(), err)
	}
	_, err := w.Write(b.Bytes())
	return err
}
