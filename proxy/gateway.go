package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/access"
)

// Gateway serves every request by the Plan that is current when it arrives. The zero
// Gateway has no plan and refuses everything with 503.
type Gateway struct {
	plan atomic.Pointer[Plan]
}

// Swap makes a plan the current one and gives back the one before, or nil. Requests
// that are under way finish on theirs; open streams are authorized again by the new one.
func (g *Gateway) Swap(next *Plan) (previous *Plan) {
	previous = g.plan.Swap(next)
	if previous != nil {
		next.rooms.Streams.reauthorize(next.stillAllowed)
		// A request that was too young to count as a stream may become one: it is asked about when
		// it would count.
		time.AfterFunc(longLived, func() {
			if g.plan.Load() == next {
				next.rooms.Streams.reauthorize(next.stillAllowed)
			}
		})
	}
	return previous
}

// Plan is the current plan, or nil.
func (g *Gateway) Plan() *Plan { return g.plan.Load() }

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := g.enter()
	if p == nil { // closed: there is nothing yet that could decide
		http.Error(w, "The gateway is starting. Try again in a few seconds.", http.StatusServiceUnavailable)
		return
	}
	defer p.leave()
	p.serve(w, r)
}

// enter takes the current plan and counts the request on it, so that a plan is not closed
// under a request that has just begun.
func (g *Gateway) enter() *Plan {
	for {
		p := g.plan.Load()
		if p == nil {
			return nil
		}
		p.active.Add(1)
		if g.plan.Load() == p {
			return p
		}
		p.leave() // swapped in between
	}
}

// hasBody says whether a request has a body by its framing. Over HTTP/2 the server gives every request
// one to read, with a length of 0 where the stream has ended with the head (RFC 9113, section
// 8.1); it refuses content beyond a length itself.
func hasBody(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0
}

// serve is the ring around the corridor: request id, recovery, record's end, log line
// and metrics.
func (p *Plan) serve(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	ex := p.mint.Receive(access.Exchange{Request: r, ID: access.NewID(now), Received: now,
		Body: access.Body{Present: hasBody(r), Size: 0}})
	a := &answer{ResponseWriter: w, ex: ex, harden: p.harden}
	ex.Writer = a
	var refusal *access.Refusal
	defer func() {
		// A panic here comes from a local handler, or from the copying of an answer whose
		// client or backend has gone; gates recover theirs in walk.
		fault := recover()
		if fault != nil && fault != http.ErrAbortHandler {
			p.rooms.Log.Error("panic behind the last door", "request", ex.ID, "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
			if a.status == 0 {
				refusal = p.refuse(ex, a, access.Unavailable("internal_error", fmt.Errorf("panic: %v", fault)))
				fault = nil
			} else {
				fault = http.ErrAbortHandler // the answer has begun: break it off, or it would look whole
			}
		}
		p.finish(ex, a, refusal, fault != nil)
		if fault != nil {
			panic(fault)
		}
	}()
	err := p.walk(ex)
	if err == nil {
		if err = p.door(ex); err != nil {
			err = named(err, "last_door")
		}
	}
	if err != nil {
		refusal = p.refuse(ex, a, err)
	}
}

// walk leads the Exchange through the gates in their order. The first no ends it.
func (p *Plan) walk(ex *access.Exchange) (err error) {
	var at string
	defer func() {
		if fault := recover(); fault != nil { // closed: a gate that panics has not let anything pass
			p.rooms.Log.Error("panic in a gate", "gate", at, "request", ex.ID, "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
			err = named(fmt.Errorf("panic: %v", fault), at)
		}
	}()
	for i := range p.gates {
		g := &p.gates[i]
		if !g.on.Has(ex.Route.Class) || !g.when.holds(ex) {
			continue
		}
		at = g.name
		if err := g.pass(ex); err != nil {
			return named(orGone(ex, err), at)
		}
	}
	return nil
}

// orGone says that nobody was left to answer, where a gate could not answer because the client had
// gone: that is no outage of ours, and must not look like one.
func orGone(ex *access.Exchange, err error) error {
	gone := ex.Request.Context().Err()
	if gone == nil {
		return err
	}
	refusal := (*access.Refusal)(nil)
	if errors.As(err, &refusal) && refusal.Status != http.StatusServiceUnavailable || errors.As(err, new(*access.Answer)) {
		return err
	}
	refusal = access.Refuse(statusClientGone, "client_gone", "The client closed the connection before the answer.", "").Because(err)
	refusal.Counted = true
	return refusal
}

// named makes any error a refusal that knows its gate. An error that is no refusal
// means that the gate could not answer, and that is a no.
func named(err error, gate string) error {
	if answer := (*access.Answer)(nil); errors.As(err, &answer) {
		return err
	}
	refusal := (*access.Refusal)(nil)
	if !errors.As(err, &refusal) {
		refusal = access.Unavailable("gate_unavailable", err)
	}
	if refusal.Gate == "" {
		refusal.Gate = gate
	}
	return refusal
}

// finish ends the exchange: the audit outcome, without the client's cancellation, then
// the log line and the metrics.
func (p *Plan) finish(ex *access.Exchange, a *answer, refusal *access.Refusal, broken bool) {
	if ex.Body.Release != nil {
		ex.Body.Release()
	}
	ctx := context.WithoutCancel(ex.Request.Context())
	switch {
	case ex.EventID != "" && refusal != nil && ex.Route.Endpoint != nil: // answered here, so nothing was done: say why
		p.rooms.Audit.Refused(ctx, ex, refusal)
	case ex.EventID != "":
		p.rooms.Audit.Finish(ctx, ex, outcome(a, refusal, broken), a.status)
	case refusal != nil:
		p.rooms.Audit.Refused(ctx, ex, refusal)
	}
	took := time.Since(ex.Received)
	class, site := ex.Route.Class.String(), ""
	if ex.Site != nil {
		site = ex.Site.Name
	}
	p.meters.requests.Add(1, site, class, strconv.Itoa(a.status))
	p.meters.seconds.Observe(took.Seconds(), class)
	p.logLine(ctx, ex, a, refusal, took)
}

// outcome says how an intended deed ended. A refusal by the last door itself
// never reached the backend; any later trouble may have.
func outcome(a *answer, refusal *access.Refusal, broken bool) access.Outcome {
	switch {
	case broken, refusal != nil && errors.Is(refusal, errMayBeDone):
		return access.Unknown
	case refusal != nil && errors.Is(refusal, errDoorShut):
		return access.Refused
	case refusal != nil || a.status >= 400 || a.status == 0:
		return access.Failed
	}
	return access.Done
}

func (p *Plan) logLine(ctx context.Context, ex *access.Exchange, a *answer, refusal *access.Refusal, took time.Duration) {
	if !p.rooms.Log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("request", ex.ID), slog.String("client", ex.Client.Addr.String()),
		slog.String("method", clip(ex.Request.Method, 32)), slog.String("path", clip(ex.Target.Path, 1024)),
		slog.String("route", ex.Route.Pattern), slog.String("class", ex.Route.Class.String()),
		slog.Int("status", a.status), slog.Int64("bytes", a.bytes), slog.Duration("took", took))
	if ex.Site != nil {
		attrs = append(attrs, slog.String("site", ex.Site.Name))
	}
	if ex.Identity != nil {
		attrs = append(attrs, slog.String("tenant", ex.Identity.Tenant.String()), slog.String("user", ex.Identity.Subject))
	}
	if ex.EventID != "" {
		attrs = append(attrs, slog.String("event", ex.EventID))
	}
	if refusal != nil {
		attrs = append(attrs, slog.String("gate", refusal.Gate), slog.String("code", refusal.Code))
		if refusal.Err != nil {
			attrs = append(attrs, slog.String("error", clip(refusal.Err.Error(), 2048)))
		}
	}
	p.rooms.Log.LogAttrs(ctx, slog.LevelInfo, "request", attrs...)
}

// clip cuts what a client controls before it reaches a log.
func clip(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}
