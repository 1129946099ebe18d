package imapdiff_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/eidermail/eider/test/harness"
)

// covered is what scripts must have: for each kind the form of a line, with
// WORD for each of the words.
var covered = []struct{ kind, line, words string }{
	{"command", `^WORD( |$)`, `APPEND AUTHENTICATE CAPABILITY CHECK CLOSE COMPRESS COPY CREATE DELETE ENABLE EXAMINE EXPUNGE FETCH
		GETQUOTA GETQUOTAROOT ID IDLE LIST LOGIN LOGOUT LSUB MOVE NAMESPACE NOOP NOTIFY RENAME REPLACE SEARCH SELECT SETQUOTA SORT
		STARTTLS STATUS STORE SUBSCRIBE THREAD UNSELECT UNSUBSCRIBE`},
	{"UID command", `^UID WORD( |$)`, `COPY EXPUNGE FETCH MOVE REPLACE SEARCH SORT STORE THREAD`},
	{"FETCH item", `FETCH \S+ .*\bWORD`, `ALL FAST FULL BINARY\[ BINARY.PEEK\[ BINARY.SIZE\[ BODY(\s|\)|$) BODYSTRUCTURE BODY\[\] BODY.PEEK\[\]
		BODY(.PEEK)?\[HEADER\] BODY(.PEEK)?\[HEADER.FIELDS BODY(.PEEK)?\[HEADER.FIELDS.NOT BODY(.PEEK)?\[TEXT\] BODY(.PEEK)?\[[\d.]+\]
		BODY(.PEEK)?\[[\d.]+HEADER BODY(.PEEK)?\[[\d.]+MIME\] BODY(.PEEK)?\[\]<\d+\.\d+> EMAILID ENVELOPE FLAGS INTERNALDATE MODSEQ
		PREVIEW RFC822(\W|$) RFC822.HEADER RFC822.SIZE RFC822.TEXT SAVEDATE THREADID UID`},
	{"SEARCH key", `(SEARCH|SORT|THREAD).*[ (]WORD([ )]|$)`, `ALL ANSWERED BCC BEFORE BODY CC CHARSET DELETED DRAFT EMAILID FLAGGED FROM HEADER
		KEYWORD LARGER MODSEQ NEW NOT OLD OLDER ON OR RECENT SAVEDATESUPPORTED SAVEDBEFORE SAVEDON SAVEDSINCE SEEN SENTBEFORE SENTON
		SENTSINCE SINCE SMALLER SUBJECT TEXT THREADID TO UID UNANSWERED UNDELETED UNDRAFT UNFLAGGED UNKEYWORD UNSEEN YOUNGER \$`},
	{"SEARCH option", `RETURN \(([^)]* )?WORD`, `ALL COUNT MAX MIN PARTIAL SAVE STATUS`},
	{"STATUS item", `STATUS.*[( ]WORD[ )]`, `DELETED DELETED-STORAGE HIGHESTMODSEQ MAILBOXID MESSAGES RECENT SIZE UIDNEXT UIDVALIDITY UNSEEN`},
	{"SORT criterion", `SORT .*[( ]WORD[ )]`, `ARRIVAL CC DATE DISPLAYFROM DISPLAYTO FROM REVERSE SIZE SUBJECT TO`},
	{"STORE", `STORE \S+ (\(.*\) )?WORD \(`, `FLAGS \+FLAGS -FLAGS FLAGS.SILENT \+FLAGS.SILENT -FLAGS.SILENT`},
	{"modifier", `\((.* )?WORD[ )]`, `CHANGEDSINCE CONDSTORE QRESYNC UNCHANGEDSINCE VANISHED USE SUBSCRIBED RECURSIVEMATCH REMOTE CHILDREN SPECIAL-USE`},
	{"state", `^WORD$`, `raw`},
}

// TestScriptsCoverEverything: each word of the protocol is in a script that is
// played to a peer, or in one of internal/imap/imapd/testdata, whose answers
// are those of the RFC, where no peer of Debian knows it.
func TestScriptsCoverEverything(t *testing.T) {
	var lines []string
	for _, s := range scripts(t) {
		if s.raw {
			lines = append(lines, "raw")
		}
		for _, l := range s.lines {
			lines = append(lines, regexp.MustCompile(`^\d: `).ReplaceAllString(l, ""))
		}
	}
	files, err := filepath.Glob(filepath.Join(harness.Root(t), "internal/imap/imapd/testdata/*.imap"))
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts of imapd", err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if _, l, ok := strings.Cut(strings.TrimRight(line, "\n"), ": "); ok && strings.HasPrefix(line, "C") {
				_, l, _ = strings.Cut(l, " ") // the tag
				lines = append(lines, l)
			}
		}
	}
	all := strings.Join(lines, "\n")
	for _, c := range covered {
		for word := range strings.FieldsSeq(c.words) {
			if !regexp.MustCompile(`(?mi)` + strings.Replace(c.line, "WORD", word, 1)).MatchString(all) {
				t.Errorf("no script has the %s %s", c.kind, word)
			}
		}
	}
	if n := len(scripts(t)); n < 500 {
		t.Errorf("%d scripts are played to the peers; once it were more than 500", n)
	}
}
