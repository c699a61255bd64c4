package proxy

import "github.com/sallyport/sallyport/access"

// gate is one line of the table: it looks at an Exchange, notes something on it and
// says pass (nil) or no. It presses its stamp only when it has let the Exchange pass.
type gate struct {
	name string
	on   access.Classes
	when condition
	why  string
	pass func(*access.Exchange) error
}

type condition struct {
	name  string
	holds func(*access.Exchange) bool
}

var (
	always     = condition{"always", func(*access.Exchange) bool { return true }}
	withBody   = condition{"with body", func(ex *access.Exchange) bool { return ex.Body.Present }}
	mutating   = condition{"mutating", (*access.Exchange).Mutating}
	cookieBorn = condition{"cookie-borne", (*access.Exchange).CookieBorne}
)

const (
	identified = access.Classes(access.Portal | access.App | access.Console | access.Operator)
	decided    = access.Classes(access.App | access.Console | access.Operator)
	tenanted   = access.Classes(access.App | access.Console)
)

// table is THE ORDER in which a request is checked. Each gate trusts what the ones
// above it have established; the reason says why it stands where it stands.
func (p *Plan) table() []gate {
	d, r := &p.dies, &p.rooms
	return []gate{
		{"client_addr", access.AnyClass, always, "everything below counts and decides by address", clientAddr(d.clientAddr, r.TrustedProxies)},
		{"flood", access.AnyClass, always, "before any parsing, crypto or JSON, so that probes of every later gate count", flood(d.flood, r.Flood)},
		{"sanitize", access.AnyClass, always, "nothing may be decided on an ambiguous target or a header of ours that the client sent", p.sanitize(d.sanitize)},
		{"locate", access.AnyClass, always, "the class of the route decides which gates follow", p.locate(d.locate)},
		{"inspect_head", access.AnyClass, always, "before authentication, to protect its parsers", inspectHead(d.inspectHead, r.WAF)},
		{"authenticate", identified, always, "who asks, before anything is decided by who asks", authenticate(d.authenticate, r.Authn)},
		{"cross_origin", identified, cookieBorn, "a browser sends cookies by itself: another site must not use them", p.crossOrigin(d.crossOrigin)},
		{"tenant", tenanted, always, "from the identity alone, before anything is read or counted in a tenant's name", p.tenant(d.tenant)},
		{"quota", tenanted, always, "before the body is read and policy is asked, which cost more", quota(d.quota, r.Quota)},
		{"read_body", access.AnyClass, withBody, "the one reading; from here on everybody sees the same bytes", readBody(d.readBody, r.Bodies)},
		{"operation", access.AnyClass, withBody, "the body may name the method, and another tenant", operation(d.operation, r.Bodies)},
		{"authorize", decided, always, "the route is complete: may they?", authorize(d.authorize, r.Policy)},
		{"inspect_body", access.AnyClass, withBody, "the dearest check, so only for those who may", inspectBody(d.inspectBody, r.WAF)},
		{"record", access.AnyClass, mutating, "no record, no deed: the intent is durable before the backend sees the request", record(d.record, r.Audit)},
	}
}

// dies holds one die per gate; table gives each gate its own and the last door
// knows them all.
type dies struct {
	clientAddr, flood, sanitize, locate, inspectHead, authenticate, crossOrigin,
	tenant, quota, readBody, operation, authorize, inspectBody, record access.Die
}

func cutDies(m *access.Mint) dies {
	return dies{
		clientAddr: m.Die("client_addr"), flood: m.Die("flood"), sanitize: m.Die("sanitize"), locate: m.Die("locate"),
		inspectHead: m.Die("inspect_head"), authenticate: m.Die("authenticate"), crossOrigin: m.Die("cross_origin"),
		tenant: m.Die("tenant"), quota: m.Die("quota"), readBody: m.Die("read_body"), operation: m.Die("operation"),
		authorize: m.Die("authorize"), inspectBody: m.Die("inspect_body"), record: m.Die("record"),
	}
}
