package access

import (
	"net/netip"
	"time"
)

// Event is one line of the audit log: who did what to which thing, for which tenant,
// from where, and how it ended. It holds no body and no secret.
type Event struct {
	ID       string        `json:"id"` // UUIDv7
	Time     time.Time     `json:"time"`
	Node     string        `json:"node"`
	Tenant   TenantID      `json:"tenant"`
	Actor    Actor         `json:"actor"`
	Client   Origin        `json:"client"`
	Action   string        `json:"action"`
	Resource Resource      `json:"resource"`
	Request  RequestInfo   `json:"request"`
	Decision DecisionInfo  `json:"decision"`
	Changes  []Change      `json:"changes,omitempty"`
	Old      string        `json:"old_source"` // prefetch, response, cache, request_only, none
	Outcome  Outcome       `json:"outcome"`
	Status   int           `json:"status,omitempty"`
	Took     time.Duration `json:"took_ns,omitempty"`
}

// Actor is who did it; empty for a stranger.
type Actor struct {
	ID       string   `json:"id,omitempty"`
	Email    string   `json:"email,omitempty"`
	Provider string   `json:"provider,omitempty"`
	Session  string   `json:"session,omitempty"`
	AMR      []string `json:"amr,omitempty"`
}

// Origin is where the request came from.
type Origin struct {
	Addr      netip.Addr `json:"addr"`
	UserAgent string     `json:"user_agent,omitempty"` // at most 256 bytes
}

// Resource is what it was done to.
type Resource struct {
	Type string `json:"type"`
	ID   string `json:"id,omitempty"`
}

// RequestInfo finds the request again in logs. Path has no query.
type RequestInfo struct {
	ID     string `json:"id"`
	Site   string `json:"site,omitempty"`
	Method string `json:"method"`
	Route  string `json:"route,omitempty"`
	Path   string `json:"path"` // at most 1,024 bytes
}

// DecisionInfo says which gate decided and why.
type DecisionInfo struct {
	Gate     string   `json:"gate,omitempty"`
	Rule     string   `json:"rule,omitempty"`
	Reasons  []string `json:"reasons,omitempty"`
	Revision string   `json:"revision,omitempty"`
}

// Change is one field's old and new value.
type Change struct {
	Field string `json:"field"`
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
}

// Outcome is how it ended.
type Outcome string

// The outcomes. Unknown is what an intent without a later record means: the
// request may have reached the backend.
const (
	Intended Outcome = "intended"
	Done     Outcome = "done"
	Refused  Outcome = "refused"
	Failed   Outcome = "failed"
	Unknown  Outcome = "unknown"
)
