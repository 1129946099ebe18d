package message

import "strings"

// maxIDs is how many ids of one field are told apart: more than a field of
// MaxFieldBytes can hold.
const maxIDs = MaxFieldBytes / 4

// MessageIDs finds the ids in a Message-ID, In-Reply-To or References value,
// without angle brackets, in order, each once. Words around them are skipped,
// ids without brackets are taken where they have an "@".
func MessageIDs(value string) []string {
	var out []string
	seen := make(map[string]bool, 4)
	add := func(id string) {
		id = strings.Join(strings.Fields(id), "")
		if id == "" || len(id) > MaxMessageID || len(out) >= maxIDs || seen[id] {
			return
		}
		seen[id] = true
		out = append(out, id)
	}
	for rest := value; rest != ""; {
		open := strings.IndexByte(rest, '<')
		if open < 0 {
			bareIDs(rest, add)
			break
		}
		bareIDs(rest[:open], add)
		rest = rest[open+1:]
		end := strings.IndexAny(rest, "<>")
		if end < 0 {
			add(rest)
			break
		}
		add(rest[:end])
		if rest[end] == '>' {
			end++
		}
		rest = rest[end:]
	}
	return out
}

func bareIDs(s string, add func(string)) {
	if strings.IndexByte(s, '@') < 0 {
		return
	}
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' || r == ';' }) {
		if i := strings.IndexByte(w, '@'); i > 0 && i < len(w)-1 && !strings.ContainsAny(w, `"()`) {
			add(strings.Trim(w, ">"))
		}
	}
}

// cutReferences keeps the first and the latest ids.
func cutReferences(ids []string) []string {
	if len(ids) <= MaxReferences {
		return ids
	}
	out := make([]string, 0, MaxReferences)
	out = append(out, ids[0])
	return append(out, ids[len(ids)-MaxReferences+1:]...)
}
