package access

import (
	"io"
	"net/http"
	"net/netip"
	"time"
)

// Exchange is all that is known about one request so far. It is a parameter of
// every gate and never hidden in a context, so that what a gate reads and writes
// can be seen in its signature. One goroutine at a time owns it.
type Exchange struct {
	// Request is the client's request. Gates that remove something from it
	// (sanitize: headers and trailers; authenticate: our own cookies) do so in place.
	Request *http.Request
	// Writer answers the client. Only the refusal function, the last door and a
	// local handler write to it.
	Writer http.ResponseWriter
	// ID names the request everywhere: log, audit, backend, refusal. A UUIDv7, made here;
	// a client's own id is never believed.
	ID string
	// Received is when the request's head had been read.
	Received time.Time

	Client     Client     // written by client_addr
	Target     Target     // written by sanitize
	Site       *Site      // written by locate
	Route      Route      // written by locate, completed by operation
	Identity   *Identity  // written by authenticate; nil is nobody
	Credential Credential // written by authenticate
	Body       Body       // written by read_body
	Decision   Decision   // written by authorize
	Findings   []Finding  // written by inspect_head and inspect_body
	EventID    string     // written by record: the audit event of this request

	// SetCookies are cookies of ours that the answer must carry, whatever the
	// answer is: a renewed session, a cleared one. Written by authenticate and by
	// local handlers; an answer that carries any is private and not stored.
	SetCookies []*http.Cookie

	stamps stampSet
	mint   *Mint
}

// Client is who is calling, as far as the network tells.
type Client struct {
	// Addr is the caller's address: the socket's, or the right-most forwarded
	// address that no configured proxy vouches for. Never an IPv4-mapped IPv6
	// address and never with a zone. The zero Addr is invalid and refused.
	Addr netip.Addr
	// Peer is the other end of the socket.
	Peer netip.AddrPort
}

// Target is the request target (RFC 9112, section 3.2) in its one reading.
type Target struct {
	// Raw is the target byte for byte as the client sent it; what the backend gets.
	Raw string
	// Path is Raw's path, percent-decoded exactly once. Every decision is made on it.
	Path string
	// RawQuery is what follows the first '?', without it.
	RawQuery string
	// Query holds the decoded pairs of RawQuery in their order; at most 512.
	Query []Pair
}

// Pair is one name and value of a query, form or path pattern.
type Pair struct{ Name, Value string }

// Credential is how an identity was borne to us.
type Credential uint8

// The ways in which a request can carry its identity.
const (
	NoCredential     Credential = iota // nobody
	CookieCredential                   // a browser sends it by itself: cross-origin rules apply
	BearerCredential                   // a program put it there on purpose
)

// Body is a request's content after its one reading.
type Body struct {
	// Present says that the request has a body by its framing (RFC 9112, section 6),
	// be it empty in the end. Written when the Exchange is made.
	Present bool
	// MediaType is the essence of Content-Type in lower case, such as
	// "application/json"; empty when there is none.
	MediaType string
	// Size is the number of bytes that are forwarded; -1 while a stream passes.
	Size int64
	// Open gives the bytes from the beginning, as often as it is called. They are
	// the bytes that were judged. Nil when there is no body or Stream is set.
	Open func() (io.ReadCloser, error)
	// Values are the leaves of a parsed body (form fields, JSON scalars, multipart
	// fields without files) in their order, written by the operation gate.
	Values []Value
	// Stream is set on routes that are judged as they pass instead of spooled:
	// it is the reader that goes to the backend. It fails, and with it the
	// backend's request, before the last byte when a later part is refused.
	Stream io.ReadCloser
	// LateField is called by Stream for each field that comes after the first file
	// part. Written by inspect_body; an error aborts the stream. Nil refuses all.
	LateField func(Value) error
	// Release frees the spool. Nil when there is nothing to free.
	Release func()
}

// Value is one leaf of a body.
type Value struct {
	// Path tells where it stood: "tenant_id" in a form, "items.0.name" in JSON.
	Path string
	// Text is the decoded value: a string's content, or a number's, true's, false's
	// or null's literal.
	Text string
}

// Finding is one thing that the WAF saw, blocked or not.
type Finding struct {
	Rule     int    // CRS or own rule id
	Message  string // the rule's message, without client data
	Field    string // which variable matched, such as "ARGS:q"; never its value
	Severity string // CRS severity name
	Blocked  bool   // false in shadow mode or below the threshold
}

// Mutating says whether the request may change something. It errs on the side of
// yes: only a route known to be read-only is not mutating.
func (ex *Exchange) Mutating() bool { return !ex.Route.ReadOnly }

// CookieBorne says whether a browser attached the identity by itself.
func (ex *Exchange) CookieBorne() bool { return ex.Credential == CookieCredential }

// Upgrade says whether the client asks to leave HTTP (RFC 9110, section 7.8).
func (ex *Exchange) Upgrade() bool { return ex.Request.Header.Get("Upgrade") != "" }

// Tenant is the tenant of the identity, or the zero TenantID.
func (ex *Exchange) Tenant() TenantID {
	if ex.Identity == nil {
		return TenantID{}
	}
	return ex.Identity.Tenant
}
