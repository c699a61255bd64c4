package proxy

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

// Rooms is what the corridor asks. Every field but TrustedProxies must be set:
// NewPlan refuses a nil, because a room that is missing cannot refuse.
type Rooms struct {
	// TrustedProxies may tell us the client's address.
	TrustedProxies []netip.Prefix

	Flood     Flood
	WAF       Inspector
	Authn     Authenticator
	Quota     Quota
	Bodies    BodyReader
	Policy    Authorizer
	Audit     Recorder
	Asserter  Asserter
	Endpoints []access.Endpoint
	Pages     Renderer

	Streams *Streams
	Jar     *Jar
	Seal    Sealer

	Meter observe.Meter
	Log   *slog.Logger
}

// Flood says whether an address may go on. It cannot fail and does no I/O.
type Flood interface {
	Allow(addr netip.Addr) (retryAfter time.Duration, ok bool)
}

// Inspector is the WAF. Nil means clean; a *access.Refusal means an attack; any
// other error means that it could not tell.
type Inspector interface {
	InspectHead(ex *access.Exchange) error
	InspectBody(ex *access.Exchange) error
}

// Authenticator finds out who asks. On success it has written ex.Identity and
// ex.Credential (or, on Portal, found nobody) and removed our credentials from the request.
type Authenticator interface {
	Authenticate(ex *access.Exchange) error
}

// Quota counts a request against its user and tenant.
type Quota interface {
	Take(ctx context.Context, ex *access.Exchange) (retryAfter time.Duration, ok bool)
}

// BodyReader reads a body once and tells what it asks for.
type BodyReader interface {
	Read(ex *access.Exchange) error
	Complete(ex *access.Exchange) error
}

// Authorizer is policy. An error is a no, whatever the decision says.
type Authorizer interface {
	Authorize(ctx context.Context, ex *access.Exchange) (access.Decision, error)
}

// Recorder is the audit log.
type Recorder interface {
	// Intend returns nil only when the intent is durable; it sets ex.EventID.
	Intend(ctx context.Context, ex *access.Exchange) error
	// Finish records how an intended deed ended.
	Finish(ctx context.Context, ex *access.Exchange, outcome access.Outcome, status int)
	// Refused records, or counts, what was not let through.
	Refused(ctx context.Context, ex *access.Exchange, refusal *access.Refusal)
}

// Asserter signs who asks, for the backend to verify (RFC 7519). The text is a
// header value.
type Asserter interface {
	Assertion(ctx context.Context, ex *access.Exchange) (string, error)
}

// Renderer renders a page of ours.
type Renderer interface {
	Render(w io.Writer, page string, data any) error
	// CSP is the Content-Security-Policy that its pages need.
	CSP() string
}

// Sealer encrypts what the browser keeps for us: secret.Sealer does.
type Sealer interface {
	Seal(plain []byte, aad string) []byte
	Open(box []byte, aad string) ([]byte, error)
}
