package ui

import (
	"fmt"
	"html/template"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func funcs(a *assets) template.FuncMap {
	return template.FuncMap{
		"static": func(name string) (string, error) {
			if _, ok := a.files[name]; !ok {
				return "", fmt.Errorf("no static file %q", name)
			}
			return a.base + name, nil
		},
		"icon":   a.icon,
		"bytes":  Bytes,
		"num":    Number,
		"plural": plural,
		"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"short":  func(t time.Time) string { return t.UTC().Format("2 Jan 15:04") },
		"long":   func(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006, 15:04:05 MST") },
		"join":   strings.Join,
		"span":   Span,
		"add":    func(a, b int) int { return a + b },
	}
}

// icon draws one symbol of icons.svg. The name must be one that the sprite
// has, so that nothing from outside gets into the markup.
func (a *assets) icon(name string) (template.HTML, error) {
	svg, ok := a.icons[name]
	if !ok {
		return "", fmt.Errorf("no icon %q", name)
	}
	return svg, nil
}

// symbol finds the names of the sprite's symbols.
var symbol = regexp.MustCompile(`<symbol id="([a-z]+)"`)

func (a *assets) drawIcons() {
	a.icons = map[string]template.HTML{}
	for _, m := range symbol.FindAllSubmatch(a.files["icons.svg"].raw, -1) {
		a.icons[string(m[1])] = template.HTML(`<svg class="i" aria-hidden="true" focusable="false"><use href="` +
			a.base + `icons.svg#` + string(m[1]) + `"/></svg>`)
	}
}

// Bytes writes a size as people do: 14 KB, 1.2 MB.
func Bytes(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1000*1000:
		return trim(float64(n)/1e3) + " KB"
	case n < 1000*1000*1000:
		return trim(float64(n)/1e6) + " MB"
	}
	return trim(float64(n)/1e9) + " GB"
}

func trim(f float64) string {
	if f >= 10 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
}

// Number writes a count with thin spaces between thousands.
func Number(v any) string {
	s := fmt.Sprint(v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func plural(n any, one, many string) string {
	if fmt.Sprint(n) == "1" {
		return one
	}
	return many
}

// Span writes a duration as people do: 7 days, 6 hours.
func Span(d time.Duration) string {
	unit := func(n time.Duration, one string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %ss", n, one)
	}
	switch {
	case d >= 48*time.Hour:
		return unit(d/(24*time.Hour), "day")
	case d >= 2*time.Hour:
		return unit(d/time.Hour, "hour")
	case d >= 2*time.Minute:
		return unit(d/time.Minute, "minute")
	}
	return unit(max(d/time.Second, 0), "second")
}
