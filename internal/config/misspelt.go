package config

import (
	"fmt"
	"strings"
)

// envPrefix begins the variables of all settings.
const envPrefix = "EIDER_"

// misspelt warns of variables that are no setting's but nearly one's. Others are
// somebody else's: tests', a command's, or Kubernetes', which tells the pods of
// a Service named eider where it is. Only what env knows is looked at.
func misspelt(environ []string, env func(string) (string, bool), all []setting) []string {
	var out []string
	for _, line := range environ {
		name, _, _ := strings.Cut(line, "=")
		short, ok := strings.CutPrefix(name, envPrefix)
		if !ok || strings.HasPrefix(short, "PORT") || strings.HasPrefix(short, "SERVICE_") {
			continue
		}
		if _, heard := env(name); !heard {
			continue
		}
		near, far := nearest(strings.ReplaceAll(short, "_", "-"), all)
		if near != "" && (far > 0 || name != EnvName(near)) {
			out = append(out,
				fmt.Sprintf("there is no setting %s, so that it is not used: did you mean %s?", name, EnvName(near)))
		}
	}
	return out
}

// meant names the setting that a wrong key of the file is nearest to.
func meant(key string, all []setting) string {
	if near, _ := nearest(key, all); near != "" && near != "config" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return ""
}

// nearest finds the setting whose name needs the fewest changes of letters,
// whatever their case; "" if that would be guessing: one in a short name, two in
// a longer one.
func nearest(name string, all []setting) (string, int) {
	name = strings.ToLower(name)
	most := 1
	if len(name) > 5 {
		most = 2
	}
	best := ""
	for _, s := range all {
		if n := len(s.name) - len(name); n > most || n < -most {
			continue
		}
		if d := distance(name, s.name); d <= most {
			best, most = s.name, d-1
		}
	}
	return best, most + 1
}

// distance counts the letters that are to be added, removed, replaced or
// swapped with the next.
func distance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
