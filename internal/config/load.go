package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Limit: bytes of a configuration file.
const MaxFile = 1 << 20

// Sources are where settings come from, beside the defaults.
type Sources struct {
	// Env looks a variable up; os.LookupEnv if nil.
	Env func(string) (string, bool)
	// Flags are the flags that were given, by name, as text.
	Flags map[string]string
}

// setting is one field of Config.
type setting struct {
	name, def, public    string
	hasPublic            bool
	placeholder, section string
	index                int
}

// settings lists the fields in their order.
func settings() []setting {
	t := reflect.TypeFor[Config]()
	var out []setting
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		s := setting{name: FlagName(f.Name), def: f.Tag.Get("default"), index: i,
			placeholder: f.Tag.Get("placeholder"), section: f.Tag.Get("group")}
		s.public, s.hasPublic = f.Tag.Lookup("public")
		out = append(out, s)
	}
	return out
}

// FlagName is the name of the setting that a field of Config holds, or "" if
// there is no such field.
func FlagName(field string) string {
	f, ok := reflect.TypeFor[Config]().FieldByName(field)
	if !ok || !f.IsExported() {
		return ""
	}
	if name := f.Tag.Get("toml"); name != "-" {
		return name
	}
	return strings.ToLower(field)
}

// Help is what a flag is for, or "" if there is no such flag.
func Help(flag string) string { return help[flag] }

// Load makes the effective configuration.
func Load(src Sources) (*Config, error) {
	if src.Env == nil {
		src.Env = os.LookupEnv
	}
	c := &Config{origin: map[string]string{}}
	all := settings()
	if err := c.readFile(src); err != nil {
		return nil, err
	}
	for _, s := range all {
		env := EnvName(s.name)
		if text, ok := src.Env(env); ok && text != "" {
			if err := c.set(s, text); err != nil {
				return nil, fmt.Errorf("%s: %w", env, err)
			}
			c.origin[s.name] = "$" + env
		}
		if text, ok := src.Flags[s.name]; ok {
			if err := c.set(s, text); err != nil {
				return nil, fmt.Errorf("--%s: %w", s.name, err)
			}
			c.origin[s.name] = "--" + s.name
		}
	}
	if err := c.fill(all, src.Env); err != nil {
		return nil, err
	}
	c.warnings = misspelt(os.Environ(), src.Env, all)
	return c, c.check()
}

// readFile applies the TOML file, if one is named.
func (c *Config) readFile(src Sources) error {
	name, ok := src.Flags["config"]
	if !ok {
		name, _ = src.Env(EnvName("config"))
	}
	if name == "" {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if len(text) > MaxFile {
		return fmt.Errorf("config: %s is over %s", name, Size(MaxFile))
	}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(c); err != nil {
		return tomlError(name, err)
	}
	var keys map[string]any
	if err := toml.Unmarshal(text, &keys); err != nil {
		return tomlError(name, err)
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if err := c.checkKey(k, keys[k]); err != nil {
			return fmt.Errorf("%s:%d: %w", name, lineOf(text, k), err)
		}
		c.origin[k] = name
	}
	return nil
}

// checkKey refuses what the decoder takes in silence: a setting's name in
// another case, which would not be known as set, and a number where a text has
// more to it: 30 would be nanoseconds.
func (c *Config) checkKey(key string, value any) error {
	all := settings()
	i := slices.IndexFunc(all, func(s setting) bool { return s.name == key })
	if i < 0 {
		return fmt.Errorf("there is no setting %q%s", key, meant(key, all))
	}
	n, ok := value.(int64)
	if !ok {
		return nil
	}
	if err := c.set(all[i], strconv.FormatInt(n, 10)); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// lineOf is the line on which a key of the file is set.
func lineOf(text []byte, key string) int {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		rest, ok := bytes.CutPrefix(bytes.TrimLeft(line, " \t[\"'"), []byte(key))
		if ok && len(rest) > 0 && strings.IndexByte(" \t=.]\"'", rest[0]) >= 0 {
			return n
		}
	}
	return 1
}

// tomlError names file and line.
func tomlError(name string, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		var lines []string
		for _, e := range strict.Errors {
			row, _ := e.Position()
			key := strings.Join(e.Key(), ".")
			lines = append(lines, fmt.Sprintf("%s:%d: there is no setting %q%s", name, row, key, meant(key, settings())))
		}
		return errors.New(strings.Join(lines, "\n"))
	}
	var d *toml.DecodeError
	if errors.As(err, &d) {
		row, _ := d.Position()
		if key := strings.Join(d.Key(), "."); key != "" {
			return fmt.Errorf("%s:%d: %s: %s", name, row, key, strings.TrimPrefix(d.Error(), "toml: "))
		}
		return fmt.Errorf("%s:%d: %s", name, row, strings.TrimPrefix(d.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %w", name, err)
}

// set puts a text into the field, replacing what a lower source said.
func (c *Config) set(s setting, text string) error {
	v := reflect.ValueOf(c).Elem().Field(s.index)
	v.SetZero()
	switch p := v.Addr().Interface().(type) {
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	case *string:
		*p = text
	case *int64:
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*p = n
	default:
		return fmt.Errorf("setting of type %T cannot be set", p)
	}
	return nil
}

// fill gives every setting that nobody set its default for the mode.
func (c *Config) fill(all []setting, env func(string) (string, bool)) error {
	for _, s := range all {
		if c.origin[s.name] != "" {
			continue
		}
		def := s.def
		if s.hasPublic && c.Public() {
			def = s.public
		}
		if def == "" {
			continue
		}
		if err := c.set(s, def); err != nil {
			return fmt.Errorf("default of %s: %w", s.name, err)
		}
	}
	if c.Public() && c.origin["domain"] == "" {
		c.Domain = c.PublicHost
	}
	if len(c.Proxy) > 0 && c.origin["drain-delay"] == "" {
		c.DrainDelay = Duration(proxyDrainDelay)
	}
	if c.Data == "" {
		c.Data = DefaultData(runtime.GOOS, env)
	}
	if c.Store == "" {
		c.Store = "pebble:" + filepath.Join(c.Data, "store")
	}
	return nil
}

// DefaultData is where an operating system keeps a user's data.
func DefaultData(goos string, env func(string) (string, bool)) string {
	get := func(k string) string { v, _ := env(k); return v }
	home := get("HOME")
	switch goos {
	case "windows":
		if d := get("LOCALAPPDATA"); d != "" {
			return filepath.Join(d, "eider")
		}
		return filepath.Join(get("USERPROFILE"), "eider")
	case "darwin":
		if home != "" {
			return filepath.Join(home, "Library", "Application Support", "eider")
		}
	default:
		// The base directory specification says that a relative path there is to be ignored.
		if d := get("XDG_DATA_HOME"); filepath.IsAbs(d) {
			return filepath.Join(d, "eider")
		}
		if home != "" && home != "/" {
			return filepath.Join(home, ".local", "share", "eider")
		}
		return filepath.Join("/var", "lib", "eider")
	}
	return "eider-data"
}
