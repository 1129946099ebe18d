package imap

import "github.com/eidermail/eider/internal/imap/backend"

// What a connection stands on; see package backend.
type (
	Session       = backend.Session
	Error         = backend.Error
	Task          = backend.Task
	StoreTask     = backend.StoreTask
	CopyTask      = backend.CopyTask
	AppendTask    = backend.AppendTask
	Mailbox       = backend.Mailbox
	StatusNeeds   = backend.StatusNeeds
	Selected      = backend.Selected
	Change        = backend.Change
	Update        = backend.Update
	FetchOptions  = backend.FetchOptions
	MessageKey    = backend.MessageKey
	Message       = backend.Message
	Content       = backend.Content
	Found         = backend.Found
	StoreChange   = backend.StoreChange
	Stored        = backend.Stored
	Copied        = backend.Copied
	Draft         = backend.Draft
	AppendMessage = backend.AppendMessage
	Appended      = backend.Appended
	Quota         = backend.Quota
)

// The ways of STORE (RFC 9051 §6.4.6).
const (
	StoreReplace = backend.StoreReplace
	StoreAdd     = backend.StoreAdd
	StoreRemove  = backend.StoreRemove
)
