package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/eidermail/eider/internal/control"
	"github.com/eidermail/eider/internal/server"
)

// adminCmd is what the operator does while servers run: over the control
// socket, or from another machine over --admin with the operator's key.
type adminCmd struct {
	Create  adminCreate  `cmd:"" help:"Decide who may make accounts."`
	Token   adminToken   `cmd:"" help:"Print the token that lets one make accounts where --create is token."`
	Block   adminBlock   `cmd:"" help:"Stop serving a network; its connections end."`
	Unblock adminUnblock `cmd:"" help:"Serve a network again."`
	Blocks  adminBlocks  `cmd:"" help:"List the blocked networks."`
	Account adminAccount `cmd:"" help:"Show, disable, enable or purge an account."`
	Message adminMessage `cmd:"" help:"Purge a message."`
	Stats   adminStats   `cmd:"" help:"Print sums over the store and this server."`
	Key     adminKey     `cmd:"" help:"Print the key that lets one operate over --admin."`
}

// overAdmin are the flags that lead to a server on another machine.
type overAdmin struct {
	where `embed:""`
	URL   string `placeholder:"URL" help:"Operate over this --admin address, like http://127.0.0.1:8026."`
	Key   string `placeholder:"KEY" help:"The operator's key for it; better in $EIDER_ADMIN_KEY."`
}

type adminCreate struct {
	overAdmin `embed:""`
	Mode      string `arg:"" enum:"open,token,off,default" help:"open, token, off; or default: as servers were started."`
}

type adminToken struct {
	overAdmin `embed:""`
	New       bool `help:"End the token, and print the next."`
}

type adminBlock struct {
	overAdmin `embed:""`
	Net       string `arg:"" name:"cidr" help:"192.0.2.0/24, 2001:db8::/48, or an address."`
	For       string `placeholder:"TIME" help:"For so long, like 24h or 7d; for ever if not given."`
	Reason    string `placeholder:"TEXT" help:"A note for the list of blocks."`
}

type adminUnblock struct {
	overAdmin `embed:""`
	Net       string `arg:"" name:"cidr"`
}

type adminBlocks struct {
	overAdmin `embed:""`
}

type adminAccount struct {
	Show    adminShow    `cmd:"" help:"What there is to know of an account, without its mail."`
	Disable adminDisable `cmd:"" help:"Nobody logs in, no mail is taken, no link opens."`
	Enable  adminEnable  `cmd:"" help:"Undo disable."`
	Purge   adminPurge   `cmd:"" help:"Delete an account with all its mail, for good."`
}

type which struct {
	overAdmin `embed:""`
	Account   string `arg:"" help:"Its address, or its id."`
}

type (
	adminShow    struct{ which }
	adminDisable struct{ which }
	adminEnable  struct{ which }
	adminPurge   struct{ which }
)

type adminMessage struct {
	Purge adminPurgeMessage `cmd:"" help:"Delete a message, for good."`
}

type adminPurgeMessage struct {
	overAdmin `embed:""`
	Message   string `arg:"" name:"msgid" help:"Its MSGID, or the address of its page."`
}

type adminStats struct {
	overAdmin `embed:""`
}

type adminKey struct {
	where `embed:""`
}

// Run decides who may make accounts.
func (c *adminCreate) Run(p *process, f flags) error {
	return p.operate(f, c.overAdmin, server.Order{Do: "create", Mode: c.Mode})
}

// Run prints the creation token.
func (c *adminToken) Run(p *process, f flags) error {
	o := server.Order{Do: "token"}
	if c.New {
		o.Do = "token-new"
	}
	return p.operate(f, c.overAdmin, o)
}

// Run blocks.
func (c *adminBlock) Run(p *process, f flags) error {
	return p.operate(f, c.overAdmin, server.Order{Do: "block", Net: c.Net, For: c.For, Reason: c.Reason})
}

// Run unblocks.
func (c *adminUnblock) Run(p *process, f flags) error {
	return p.operate(f, c.overAdmin, server.Order{Do: "unblock", Net: c.Net})
}

// Run lists blocks.
func (c *adminBlocks) Run(p *process, f flags) error {
	return p.operate(f, c.overAdmin, server.Order{Do: "blocks"})
}

// Run shows an account.
func (c *adminShow) Run(p *process, f flags) error {
	return p.operate(f, c.overAdmin, server.Order{Do: "account-show", Account: c.Account})
}

// Run disables an account.
func (c *adminDisable) Run(p *process, f flags) error {
	return p.operate(f, c.overAdmin, server.Order{Do: "account-disable", Account: c.Account})
}

// Run enables an account.
func (c *adminEnable) Run(p *process, f flags) error {
	return p.operate(f, c.overAdmin, server.Order{Do: "account-enable", Account: c.Account})
}

// Run purges an account.
func (c *adminPurge) Run(p *process, f flags) error {
	return p.operate(f, c.overAdmin, server.Order{Do: "account-purge", Account: c.Account})
}

// Run purges a message.
func (c *adminPurgeMessage) Run(p *process, f flags) error {
	return p.operate(f, c.overAdmin, server.Order{Do: "message-purge", Message: c.Message})
}

// Run prints sums.
func (c *adminStats) Run(p *process, f flags) error {
	return p.operate(f, c.overAdmin, server.Order{Do: "stats"})
}

// Run prints the operator's key.
func (c *adminKey) Run(p *process, f flags) error {
	return p.operate(f, overAdmin{where: c.where}, server.Order{Do: "key"})
}

// operate gives an order: over --admin if an address is named, else to the
// server on the data, else to the store itself.
func (p *process) operate(f flags, to overAdmin, o server.Order) error {
	ctx, cancel := context.WithTimeout(p.ctx, commandTime)
	defer cancel()
	if to.URL != "" {
		return p.operateAt(ctx, to, o)
	}
	return p.with(ctx, f,
		func(s *control.Client) error { return s.Call(ctx, http.MethodPost, "/operate", o, p.stdout) },
		func(s *server.Offline) error {
			out, err := s.Operate(ctx, "command line", o)
			if err != nil {
				return err
			}
			b, err := json.MarshalIndent(out, "", "  ")
			if err != nil {
				return err
			}
			_, err = p.stdout.Write(append(b, '\n'))
			return err
		})
}

// operateAt gives an order over --admin.
func (p *process) operateAt(ctx context.Context, to overAdmin, o server.Order) error {
	key := to.Key
	if key == "" {
		key, _ = p.env("EIDER_ADMIN_KEY")
	}
	if key == "" {
		return usageError{errors.New("--url needs the operator's key: set EIDER_ADMIN_KEY to what eider admin key prints")}
	}
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(to.URL, "/")+"/operate",
		bytes.NewReader(body))
	if err != nil {
		return usageError{err}
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("the server did not answer: %w", err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(io.LimitReader(resp.Body, control.MaxRequest))
	if err != nil {
		return fmt.Errorf("the server's answer broke off: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(out)))
	}
	_, err = p.stdout.Write(out)
	return err
}
