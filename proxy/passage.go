package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sallyport/sallyport/access"
)

// bodyLinger is how long an upload that nobody needs any more may hold the end of its exchange.
const bodyLinger = 2 * time.Second

// passage is one request's way to the backend and the answer's way back. It is the
// ReverseProxy's transport and writer at once, so that what it knows of the exchange need
// not hide in a context.
type passage struct {
	b       *backends
	at      *siteBackend
	ex      *access.Exchange
	ctx     context.Context // ends with the client, or when the login is cut
	stream  *stream         // nil on Public
	pool    *pool
	target  *target
	who     asker
	cookies string // the Cookie header for the backend
	session *backendSession
	upgrade bool
	bodies  []*requestBody

	sent    bool        // the backend may have the request
	begun   bool        // the answer's header has gone out
	dropped http.Header // takes what comes after it
	failure error
}

// serve forwards an exchange to its site's backend and answers with what that says. An
// error, always a refusal, means that nothing was written.
func (b *backends) serve(ex *access.Exchange) error {
	at := b.bySite[ex.Site]
	if at == nil {
		return access.Unavailable("no_backend", errors.New("the site is not one of this plan"))
	}
	g := &passage{b: b, at: at, ex: ex, ctx: ex.Request.Context()}
	if err := g.prepare(); err != nil {
		return b.refusal(g, err)
	}
	if !g.public() {
		g.stream = b.streams.follow(ex)
		defer g.stream.close()
		g.ctx = g.stream.ctx
	}
	defer g.finish()
	r := ex.Request.WithContext(g.ctx)
	r.Body, r.ContentLength = http.NoBody, 0 // attach gives each attempt its own
	p := b.proxy
	p.Rewrite, p.Transport, p.ModifyResponse, p.ErrorHandler = g.rewrite, g, g.modifyResponse, g.fail
	p.ServeHTTP(g, r)
	if g.failure != nil {
		return b.refusal(g, g.failure)
	}
	return nil
}

func (g *passage) public() bool { return g.ex.Route.Class != access.App }

// prepare settles all that can be refused before anything is sent.
func (g *passage) prepare() (err error) {
	ex := g.ex
	if !plainTarget(ex.Target.Raw) {
		return access.Unavailable("target_unsafe", errors.New("a target that cannot be sent as it stands"))
	}
	if ex.Route.Class != access.App && ex.Route.Class != access.Public {
		return access.Unavailable("corridor_incomplete", errors.New("a route that has no backend"))
	}
	if g.pool, err = g.at.poolOf(ex); err != nil {
		return err
	}
	if ex.Upgrade() {
		if g.at.site.cfg.WebSocket != "opaque" || g.public() || ex.Request.ProtoMajor != 1 || !isWebSocket(ex.Request.Header) {
			return access.Refuse(http.StatusForbidden, "upgrade_refused", "This site does not allow that change of protocol.", "")
		}
		g.upgrade = true
	}
	if g.public() {
		return nil
	}
	if g.who, err = whoAsks(ex.Identity); err != nil {
		return err
	}
	if g.who.assertion, err = g.at.asserter.Assertion(ex.Request.Context(), ex); err != nil {
		return access.Unavailable("assertion_unavailable", err) // closed: a backend that relies on it must not be asked without
	}
	if g.who.assertion == "" || !printable(g.who.assertion) {
		return access.Unavailable("assertion_unavailable", errors.New("the assertion is no header value"))
	}
	g.cookies = g.at.cookies.toBackend(ex)
	return nil
}

// finish gives everything back, even when copying the answer has panicked.
func (g *passage) finish() {
	for _, body := range g.bodies {
		body.finish(func() { http.NewResponseController(g.ex.Writer).SetReadDeadline(time.Now().Add(bodyLinger)) })
	}
	if g.target != nil {
		g.target.inFlight.Add(-1)
	}
}

// RoundTrip implements http.RoundTripper: it chooses the address, logs in where the backend
// has a login of its own, and tries again in two cases alone: another address when
// no connection could be made, and a new login when the backend says that its session
// has ended, since in both the backend has done nothing.
func (g *passage) RoundTrip(out *http.Request) (*http.Response, error) {
	res, err := g.tryAll(out)
	auth := g.at.auth
	if err != nil || auth == nil || g.session == nil || !slices.Contains(auth.login.cfg.Renew, res.StatusCode) {
		return res, err
	}
	ended := g.session
	fresh, err := auth.login.renew(g.ctx, g, ended)
	switch {
	case errors.Is(err, errLoginPause):
		return res, nil // it was renewed moments ago: the answer means something else
	case err != nil:
		res.Body.Close()
		return nil, err
	}
	again := out.WithContext(out.Context())
	again.Header = out.Header.Clone()
	if err := g.attach(again); err != nil {
		res.Body.Close()
		if errors.Is(err, errReplay) {
			return nil, sessionRenewed(err)
		}
		return nil, err
	}
	res.Body.Close()
	auth.login.wear(g, fresh, again.Header)
	g.address(again)
	return g.at.transport.RoundTrip(again)
}

func sessionRenewed(err error) error {
	refusal := access.Refuse(http.StatusServiceUnavailable, "upstream_session_renewed",
		"Your session at the application had ended. It has been renewed.", "Send the request again.").Because(err)
	refusal.RetryAfter = time.Second
	return refusal
}

// tryAll tries one address after the other while none can be connected to.
func (g *passage) tryAll(out *http.Request) (*http.Response, error) {
	var tried []*target
	var last error
	for range g.pool.maxTries {
		t := g.pool.pick(time.Now(), tried)
		if t == nil {
			break
		}
		g.setTarget(t)
		res, err := g.tryOne(out)
		if err == nil {
			t.worked()
			return res, nil
		}
		if !dialFailed(err) || g.ctx.Err() != nil {
			return nil, err
		}
		t.failed(time.Now())
		tried, last = append(tried, t), err
	}
	if last == nil {
		return nil, upstreamBusy()
	}
	return nil, last
}

func (g *passage) setTarget(t *target) {
	if g.target != nil {
		g.target.inFlight.Add(-1)
	}
	g.target = t
}

func (g *passage) tryOne(out *http.Request) (*http.Response, error) {
	if g.at.auth != nil && !g.public() {
		if err := g.at.auth.apply(g, out.Header); err != nil {
			return nil, err
		}
	}
	if err := g.attach(out); err != nil {
		return nil, err
	}
	g.address(out)
	res, err := g.at.transport.RoundTrip(out)
	g.sent = g.sent || err == nil || !dialFailed(err)
	return res, err
}

// address points a request to the chosen address. Opaque is what stands in the request
// line, so the raw target arrives as it came: query, lone '?' and odd characters included.
func (g *passage) address(out *http.Request) {
	out.URL = &url.URL{Scheme: g.target.url.Scheme, Host: g.target.url.Host, Opaque: g.ex.Target.Raw}
}

// dialFailed says that no connection was made, so not one byte was sent.
func dialFailed(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// fail implements ReverseProxy's ErrorHandler: it writes nothing, for serve gives the
// refusal to the one place that does.
func (g *passage) fail(_ http.ResponseWriter, _ *http.Request, err error) {
	if !errors.Is(err, errUpgraded) {
		g.failure = err
	}
}

// refusal says what a failure means, and whose fault it is: the client's body, the client's
// leaving, an ended login, or the backend.
func (b *backends) refusal(g *passage, err error) error {
	refusal := (*access.Refusal)(nil)
	bodyErr := g.bodyFailure()
	switch {
	case g.stream != nil && g.stream.ended.Load():
		refusal = access.Refuse(http.StatusUnauthorized, "session_ended", "Your session has ended.", "Sign in again.").Because(err)
		refusal.Login = true
	case errors.As(err, &refusal), errors.As(bodyErr, &refusal):
	case g.ex.Request.Context().Err() != nil:
		refusal = access.Refuse(statusClientGone, "client_gone", "The client closed the connection before the answer.", "").Because(err)
	case bodyErr != nil:
		refusal = clientBody(bodyErr)
	case !dialFailed(err) && isTimeout(err):
		b.errors.Add(1, g.at.site.Name, "timeout")
		refusal = access.Refuse(http.StatusGatewayTimeout, "upstream_timeout", "The application did not answer in time.",
			"Try again. What you sent may have been done, so look first.").Because(err)
	default:
		cause := "broken"
		if dialFailed(err) {
			cause = "unreachable"
		}
		b.errors.Add(1, g.at.site.Name, cause)
		refusal = access.Refuse(http.StatusBadGateway, "upstream_unreachable", "The application cannot be reached at the moment.",
			"Try again in a few seconds. If it goes on, tell your administrator the request id.").Because(err)
	}
	if g.sent && bodyErr == nil { // with a broken body it never had the whole request
		refusal.Err = errors.Join(errMayBeDone, refusal.Err)
	}
	return refusal
}

// errMayBeDone is wrapped by refusals of requests that the backend may have carried out: the
// audit event must not claim that nothing happened.
var errMayBeDone = errors.New("the application may have done it")

// statusClientGone is what logs show when nobody was left to answer; nginx made the number
// known.
const statusClientGone = 499

func (g *passage) bodyFailure() error {
	for _, body := range g.bodies {
		if err := body.failure(); err != nil {
			if !body.stream && !errors.As(err, new(*access.Refusal)) {
				return access.Unavailable("body_unavailable", fmt.Errorf("read the spooled body: %w", err))
			}
			return err
		}
	}
	return nil
}

// clientBody refuses a body that could not be read to its end.
func clientBody(err error) *access.Refusal {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return access.Refuse(http.StatusRequestEntityTooLarge, "body_too_large", "The request's body is too large.", "Send less at once.").Because(err)
	}
	if isTimeout(err) {
		return access.Refuse(http.StatusRequestTimeout, "body_too_slow", "The request's body came too slowly.", "Try again on a better connection.").Because(err)
	}
	return access.Refuse(http.StatusBadRequest, "body_unreadable", "The request's body ended before it was complete, or is malformed.", "Send it again.").Because(err)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func upstreamBusy() error {
	refusal := access.Refuse(http.StatusServiceUnavailable, "upstream_busy", "The application has too many requests at the moment.", "Try again in a few seconds.")
	refusal.RetryAfter = 2 * time.Second
	return refusal.Because(errors.New("every address has its most connections in flight"))
}
