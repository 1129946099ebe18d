package api

import (
	"context"
	"net/http"
	"time"
)

type accountOutput struct{ Body Account }

// account is GET /v1/account.
func (a *API) account(ctx context.Context, _ *struct{}) (*accountOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreBudget)
	defer cancel()
	c := callerOf(ctx)
	_, now, err := a.place(ctx, c.Acct, "INBOX")
	if err != nil {
		return nil, a.fail("account", err)
	}
	acct, err := a.o.Store.Account(ctx, c.Acct)
	if err != nil {
		return nil, a.fail("account", err)
	}
	return &accountOutput{Account{
		User: acct.Address, Name: acct.Name, Label: acct.Label, Created: acct.Created, Expires: acct.ExpiresAt,
		CatchAll: acct.CatchAll, Messages: acct.Messages, Bytes: acct.Bytes, Web: c.base, Cursor: now.String(),
		Limits: Limits{RetentionSeconds: int64(acct.Limits.Retention / time.Second), Bytes: acct.Limits.Bytes,
			Messages: acct.Limits.Messages},
	}}, nil
}

type noOutput struct{}

// removeAccount is DELETE /v1/account.
func (a *API) removeAccount(ctx context.Context, _ *struct{}) (*noOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreBudget)
	defer cancel()
	c := callerOf(ctx)
	acct, err := a.o.Store.Account(ctx, c.Acct)
	if err != nil {
		return nil, a.fail("delete account", err)
	}
	if acct.CatchAll {
		return nil, problem(http.StatusForbidden, "The catch-all account is the server's; delete its messages instead.")
	}
	if err := a.o.Store.DeleteAccount(ctx, c.Acct); err != nil {
		return nil, a.fail("delete account", err)
	}
	return &noOutput{}, nil
}

type mailboxesOutput struct {
	Body struct {
		Mailboxes []Mailbox `json:"mailboxes"`
	}
}

// mailboxes is GET /v1/mailboxes.
func (a *API) mailboxes(ctx context.Context, _ *struct{}) (*mailboxesOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, StoreBudget)
	defer cancel()
	ms, err := a.o.Store.Mailboxes(ctx, callerOf(ctx).Acct)
	if err != nil {
		return nil, a.fail("mailboxes", err)
	}
	out := &mailboxesOutput{}
	out.Body.Mailboxes = make([]Mailbox, len(ms))
	for i, m := range ms {
		out.Body.Mailboxes[i] = Mailbox{Name: m.Name, SpecialUse: m.SpecialUse, Messages: m.Exists, Unseen: m.Unseen,
			Bytes: m.Bytes, UIDValidity: m.UIDValidity, UIDNext: uint32(m.UIDNext), Subscribed: m.Subscribed}
	}
	return out, nil
}
