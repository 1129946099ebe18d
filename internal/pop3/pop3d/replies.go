package pop3d

import (
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/pop3"
)

var (
	replyAuthFailed = pop3.Error{Code: "AUTH", Text: "Authentication failed"}
	replyAuthWait   = pop3.Error{Code: "SYS/TEMP", Text: "Too many failed logins, please wait a little"}
	replyDisabled   = pop3.Error{Code: "AUTH", Text: "This account is disabled"}
	replyStale      = pop3.Error{Code: "AUTH", Text: "This login holds no more, log in again", End: true}
	replyStopped    = pop3.Error{Code: "AUTH", Text: "This account is disabled, closing", End: true}
	replyTrouble    = pop3.Error{Code: "SYS/TEMP", Text: "Trouble on our side, please try again later"}
	replyDamaged    = pop3.Error{Code: "SYS/PERM", Text: "Stored data is damaged, please tell the operator"}
	replyGone       = pop3.Error{Text: "The message is gone"}
)

// refuse is the reply to an error; what is our trouble is logged.
func (b *Backend) refuse(doing string, err error) pop3.Error {
	k := mailstore.KindOf(err)
	if k != mailstore.NotExist {
		b.o.Log.Warn("POP3 command failed", "doing", doing, "err", err)
	}
	return replyFor(k)
}

// replyFor is the reply to each kind of error: the one table of POP3.
func replyFor(k mailstore.Kind) pop3.Error {
	switch k {
	case mailstore.NotExist:
		return replyGone
	case mailstore.Corrupt:
		return replyDamaged
	case mailstore.Transient, mailstore.NoSpace, mailstore.Internal, mailstore.Exist, mailstore.Invalid,
		mailstore.Permission, mailstore.Quota, mailstore.TooLarge, mailstore.Limit:
		return replyTrouble
	}
	return replyTrouble
}
