package mailstore

import "github.com/eidermail/eider/internal/mailstore/fault"

// What errors of the mail store are; see package fault.
type (
	Kind  = fault.Kind
	Error = fault.Error
)

// The kinds of error.
const (
	Internal, NotExist, Exist, Invalid = fault.Internal, fault.NotExist, fault.Exist, fault.Invalid
	Permission, Quota, TooLarge, Limit = fault.Permission, fault.Quota, fault.TooLarge, fault.Limit
	Transient, NoSpace, Corrupt        = fault.Transient, fault.NoSpace, fault.Corrupt
)

// KindOf tells the kind of err; Internal for what is none of ours.
func KindOf(err error) Kind { return fault.KindOf(err) }

func fail(kind Kind, format string, args ...any) error { return fault.New(kind, format, args...) }

func wrap(op string, err error) error { return fault.Wrap(op, err) }
