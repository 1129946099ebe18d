package smtpd

import (
	"github.com/eidermail/eider/internal/mailstore"
	"github.com/eidermail/eider/internal/smtp"
)

var (
	replyAuthRequired = smtp.Reply{Code: 530, Enhanced: "5.7.0", Text: "Authentication required"}
	replyAuthFailed   = smtp.Reply{Code: 535, Enhanced: "5.7.8", Text: "Authentication failed"}
	replyAuthLater    = smtp.Reply{Code: 454, Enhanced: "4.7.0", Text: "Logins cannot be checked now, try later"}
	replyAuthWait     = smtp.Reply{Code: 454, Enhanced: "4.7.0", Text: "Too many failed logins, please wait a little"}
	replyDisabled     = smtp.Reply{Code: 535, Enhanced: "5.7.8", Text: "This account is disabled"}
	replyClosed       = smtp.Reply{Code: 550, Enhanced: "5.2.1", Text: "This account is disabled"}
	replyStopped      = smtp.Reply{Code: 421, Enhanced: "4.7.0", Text: "This account is disabled, closing"}
	replyStale        = smtp.Reply{Code: 421, Enhanced: "4.7.0", Text: "This login holds no more, log in again"}
	replyNoUser       = smtp.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user here"}
	replyFull         = smtp.Reply{Code: 452, Enhanced: "4.2.2", Text: "Mailbox is full"}
	replyAccounts     = smtp.Reply{Code: 452, Enhanced: "4.5.3", Text: "Too many accounts in one transaction"}
	replyApart        = smtp.Reply{Code: 452, Enhanced: "4.5.3", Text: "Send to this recipient by itself"}
	replyTooLarge     = smtp.Reply{Code: 552, Enhanced: "5.3.4", Text: "Message is over the size limit"}
	replyOverQuota    = smtp.Reply{Code: 552, Enhanced: "5.2.2", Text: "Message is larger than the account's quota"}
	replyTrouble      = smtp.Reply{Code: 451, Enhanced: "4.3.0", Text: "Trouble on our side, please try again later"}
	replyNoSpace      = smtp.Reply{Code: 452, Enhanced: "4.3.1", Text: "The server is out of space, try later"}
	replyAccepted     = smtp.Reply{Code: 250, Enhanced: "2.0.0", Text: "Accepted"}
)

// replyFor is the reply to each kind of error: the one table of SMTP.
func replyFor(k mailstore.Kind) smtp.Reply {
	switch k {
	case mailstore.NotExist:
		return replyNoUser
	case mailstore.Permission:
		return replyAuthRequired
	case mailstore.Quota:
		return replyFull
	case mailstore.TooLarge:
		return replyTooLarge
	case mailstore.Limit:
		return replyAccounts
	case mailstore.NoSpace:
		return replyNoSpace
	case mailstore.Transient, mailstore.Internal, mailstore.Exist, mailstore.Invalid, mailstore.Corrupt:
		return replyTrouble
	}
	return replyTrouble
}
