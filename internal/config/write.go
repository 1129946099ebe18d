package config

import (
	"bufio"
	"encoding"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// WriteTOML writes the effective configuration as a commented TOML file that
// reads back the same.
func (c *Config) WriteTOML(w io.Writer) error {
	b := bufio.NewWriter(w)
	section := ""
	for _, s := range settings() {
		if s.name == "config" {
			continue
		}
		if s.section != section {
			section = s.section
			fmt.Fprintf(b, "# ---- %s\n\n", section)
		}
		fmt.Fprintf(b, "# %s\n", help[s.name])
		fmt.Fprintf(b, "# --%s, $%s; default %s", s.name, EnvName(s.name), defaultText(s))
		if o := c.Origin(s.name); o != "default" {
			fmt.Fprintf(b, "; set by %s", o)
		}
		fmt.Fprintf(b, "\n%s = %s\n\n", s.name, c.tomlValue(s))
	}
	return b.Flush()
}

// WriteMarkdown writes the table of all settings for the documentation.
func WriteMarkdown(w io.Writer) error {
	b := bufio.NewWriter(w)
	section := ""
	for _, s := range settings() {
		if s.section != section {
			section = s.section
			fmt.Fprintf(b, "\n## %s\n\n| flag | variable | default | meaning |\n|---|---|---|---|\n", section)
		}
		fmt.Fprintf(b, "| `--%s %s` | `%s` | %s | %s |\n", s.name, strings.ReplaceAll(s.placeholder, "|", `\|`),
			EnvName(s.name), defaultText(s), help[s.name])
	}
	return b.Flush()
}

func defaultText(s setting) string {
	def := s.def
	if def == "" {
		def = "none"
	}
	switch s.name {
	case "data":
		return "the user's data directory"
	case "store":
		return "pebble:DATA/store"
	case "domain":
		return def + ", the public host in public mode"
	}
	if s.hasPublic && s.public != s.def {
		pub := s.public
		if pub == "" {
			pub = "none"
		}
		return def + ", in public mode " + pub
	}
	return def
}

func (c *Config) tomlValue(s setting) string {
	switch v := reflect.ValueOf(c).Elem().Field(s.index).Interface().(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		if err != nil {
			return `""`
		}
		return tomlString(string(text))
	default:
		return tomlString(fmt.Sprint(v))
	}
}

// tomlString quotes s as a TOML basic string.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Bound is a setting that bounds something, with its value in both modes.
type Bound struct{ Flag, Dev, Public, Help string }

// Bounds are the settings that bound something, in their order.
func Bounds() []Bound {
	var out []Bound
	for _, s := range settings() {
		if s.section != "limits" && s.section != "strangers" || s.name == "abuse-contact" {
			continue
		}
		b := Bound{Flag: s.name, Dev: s.def, Public: s.def, Help: help[s.name]}
		if s.hasPublic {
			b.Public = s.public
		}
		out = append(out, b)
	}
	return out
}
