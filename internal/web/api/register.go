package api

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// register adds every operation to the router and to the description.
func (a *API) register(h huma.API) {
	add := func(method, path, id, tag, summary string) huma.Operation {
		return huma.Operation{Method: method, Path: path, OperationID: id, Tags: []string{tag}, Summary: summary,
			MaxBodyBytes: MaxBody, Errors: []int{401, 404, 422, 429, 503}}
	}
	huma.Register(h, add("GET", "/v1/account", "getAccount", "Account", "The account that asks"), a.account)
	gone := add("DELETE", "/v1/account", "deleteAccount", "Account", "Delete the account with all its mail")
	gone.DefaultStatus = http.StatusNoContent
	huma.Register(h, gone, a.removeAccount)
	huma.Register(h, add("GET", "/v1/mailboxes", "listMailboxes", "Account", "All mailboxes"), a.mailboxes)

	huma.Register(h, add("GET", "/v1/messages", "listMessages", "Messages",
		"List or search the messages of a mailbox, newest first"), a.list)
	huma.Register(h, add("GET", "/v1/messages/wait", "waitMessage", "Messages",
		"Wait for a message; mail that is there already counts"), a.wait)
	huma.Register(h, add("GET", "/v1/messages/{id}", "getMessage", "Messages", "A message, parsed"), a.get)
	huma.Register(h, add("PATCH", "/v1/messages/{id}", "flagMessage", "Messages",
		"Change flags of a message"), a.setFlags)
	huma.Register(h, add("PATCH", "/v1/messages", "flagMessages", "Messages",
		"Change flags of messages"), a.setFlagsMany)
	huma.Register(h, add("DELETE", "/v1/messages/{id}", "deleteMessage", "Messages", "Delete a message"), a.remove)
	huma.Register(h, add("DELETE", "/v1/messages", "deleteMessages", "Messages", "Delete messages"), a.removeMany)

	a.describePlain(h.OpenAPI())
}

// describePlain describes the operations that stream, which huma does not serve.
func (a *API) describePlain(o *huma.OpenAPI) {
	// A pointer to a struct is described as never null; this one can be.
	waited := o.Components.Schemas.Map()["Waited"].Properties
	waited["message"] = &huma.Schema{Description: waited["message"].Description,
		AnyOf: []*huma.Schema{{Ref: waited["message"].Ref}, {Type: "null"}}}
	text := &huma.Schema{Type: huma.TypeString}
	file := &huma.Schema{Type: huma.TypeString, Format: "binary"}
	path := func(name string) *huma.Param {
		return &huma.Param{Name: name, In: "path", Required: true, Schema: text}
	}
	answer := func(kind string, s *huma.Schema) map[string]*huma.Response {
		content := map[string]*huma.MediaType{kind: {Schema: s}}
		return map[string]*huma.Response{"200": {Description: "OK", Content: content}}
	}
	o.AddOperation(&huma.Operation{Method: "GET", Path: "/v1/messages/{id}/raw", OperationID: "getRaw",
		Tags: []string{"Messages"}, Summary: "The message's bytes, exactly as they were sent",
		Parameters: []*huma.Param{path("id")}, Responses: answer("message/rfc822", file)})
	o.AddOperation(&huma.Operation{Method: "GET", Path: "/v1/messages/{id}/parts/{part}", OperationID: "getPart",
		Tags: []string{"Messages"}, Summary: "A file of the message (ATT00001), or a part by number (1.2), decoded",
		Parameters: []*huma.Param{path("id"), path("part")}, Responses: answer("application/octet-stream", file)})
	o.AddOperation(&huma.Operation{Method: "GET", Path: "/v1/events", OperationID: "events", Tags: []string{"Messages"},
		Summary: "What happens to a mailbox, as server-sent events",
		Parameters: []*huma.Param{
			{Name: "mailbox", In: "query", Schema: &huma.Schema{Type: huma.TypeString, Default: "INBOX"}},
			{Name: "after", In: "query", Schema: text, Description: "A cursor; now if absent"}},
		Responses: answer("text/event-stream", text)})
	wish := &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {
		Schema: o.Components.Schemas.Schema(reflect.TypeFor[Wish](), true, "Wish")}}}
	least := 0.0
	for _, name := range []string{"ttl", "quota"} { // a number is taken, too
		either := o.Components.Schemas.Map()["Wish"].Properties[name]
		either.Type, either.OneOf = "", []*huma.Schema{{Type: huma.TypeInteger, Minimum: &least}, {Type: huma.TypeString}}
	}
	o.AddOperation(&huma.Operation{Method: "POST", Path: "/user", RequestBody: wish, OperationID: "createAccount",
		Tags: []string{"Account"}, Summary: "Make an account", Security: []map[string][]string{{}},
		Description: "What Nodemailer's createTestAccount calls. The answer is always 200; status is success or error.",
		Responses: answer("application/json",
			o.Components.Schemas.Schema(reflect.TypeFor[NewUser](), true, "NewUser"))})
}

// Wish describes the body of POST /user, which is not needed.
type Wish struct {
	Requestor string `json:"requestor,omitempty" doc:"What asks"`
	Version   string `json:"version,omitempty"`
	Label     string `json:"label,omitempty" doc:"A note to find the account by"`
	TTL       string `json:"ttl,omitempty" doc:"How long the account lives: seconds, or 2h, or 7d" example:"2h"`
	Quota     string `json:"quota,omitempty" doc:"The most it may hold: bytes, or 10MB" example:"10MB"`
}

// NewUser describes the answer of POST /user.
type NewUser struct {
	Status     string `json:"status" enum:"success,error"`
	Error      string `json:"error,omitempty" doc:"Why there is no account"`
	RetryAfter int64  `json:"retryAfter,omitempty" doc:"Seconds after which there may be one"`
	User       string `json:"user,omitempty" doc:"Login of all protocols, and address"`
	Pass       string `json:"pass,omitempty"`
	SMTP       *Host  `json:"smtp,omitempty"`
	IMAP       *Host  `json:"imap,omitempty"`
	POP3       *Host  `json:"pop3,omitempty"`
	Web        string `json:"web,omitempty"`
	MXEnabled  bool   `json:"mxEnabled,omitempty"`
	API        string `json:"api,omitempty" doc:"Base address of this API"`
	BearerAuth string `json:"token,omitempty" doc:"Bearer token for this API"`
	Cursor     string `json:"cursor,omitempty" doc:"Before the first message; pass on as after"`
}

// Host is where a protocol is served.
type Host struct {
	Host   string `json:"host"`
	Port   int    `json:"port"`
	Secure bool   `json:"secure" doc:"TLS from the first byte"`
}
