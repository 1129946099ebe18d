package imapd

import (
	"context"
	"slices"

	"github.com/eidermail/eider/internal/imap"
	"github.com/eidermail/eider/internal/mailstore"
)

// Do does tasks in their order. Several go to the store as one group.
func (s *session) Do(ctx context.Context, tasks []imap.Task) {
	if err := s.may(ctx, tasks); err != nil {
		for i := range tasks {
			tasks[i].Err = err
		}
		return
	}
	if len(tasks) == 1 {
		s.doOne(ctx, &tasks[0])
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.b.o.AppendBudget)
	defer cancel()
	s.sel.dirty = true
	steps := make([]mailstore.Step, 0, len(tasks))
	of := make([]*imap.Task, 0, len(tasks))
	for i := range tasks {
		if st, err := s.step(ctx, &tasks[i]); err != nil {
			tasks[i].Err = err
		} else {
			steps, of = append(steps, st), append(of, &tasks[i])
		}
	}
	s.store.Group(ctx, s.acct(), steps)
	for i := range steps {
		s.done(of[i], &steps[i])
	}
}

// may asks whether the login still holds, once for all tasks.
func (s *session) may(ctx context.Context, tasks []imap.Task) error {
	ctx, cancel := context.WithTimeout(ctx, s.b.o.AppendBudget)
	defer cancel()
	if slices.ContainsFunc(tasks, func(t imap.Task) bool { return t.Append != nil }) {
		return s.still(ctx)
	}
	return s.stillHere(ctx)
}

func (s *session) doOne(ctx context.Context, t *imap.Task) {
	switch {
	case t.Store != nil:
		t.Store.Done, t.Err = s.doStore(ctx, t.Store.UIDs, t.Store.Change)
	case t.Copy != nil:
		t.Copy.Done, t.Err = s.doCopy(ctx, t.Copy.UIDs, t.Copy.To)
	case t.Append != nil:
		t.Append.Done, t.Err = s.deposit(ctx, t.Append.To, nil, t.Append.Messages)
	}
}

// step is a task as the store takes it.
func (s *session) step(ctx context.Context, t *imap.Task) (st mailstore.Step, err error) {
	switch {
	case t.Store != nil:
		st.Flags = &mailstore.FlagStep{Mailbox: s.sel.id, UIDs: uidList(t.Store.UIDs), Change: flagChange(&t.Store.Change)}
	case t.Copy != nil:
		st.Copy = &mailstore.CopyStep{Mailbox: s.sel.id, UIDs: uidList(t.Copy.UIDs), To: t.Copy.To}
		err = s.refusal(s.b.o.Policy.Space(ctx))
	case t.Append != nil:
		st.Append = new(mailstore.AppendStep)
		st.Append.In, err = s.incoming(ctx, t.Append.To, t.Append.Messages)
	}
	return st, err
}

// done tells a task what its step did.
func (s *session) done(t *imap.Task, st *mailstore.Step) {
	switch {
	case st.Err != nil && t.Append != nil:
		t.Err = s.appendRefusal(st.Err)
	case st.Err != nil && t.Copy != nil:
		t.Err = s.target(st.Err)
	case t.Append != nil:
		t.Append.Done = appended(st.Append.Result)
	case t.Copy != nil:
		t.Copy.Done = copied(&st.Copy.Result)
	default: // alone, it may have done a part
		addStored(&t.Store.Done, &st.Flags.Result, &t.Store.Change)
		t.Err = s.refusal(st.Err)
	}
}
