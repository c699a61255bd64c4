package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// errDoorShut is wrapped when stamps are missing: a mistake in the house, not of
// the client.
var errDoorShut = errors.New("the last door stays shut")

// demands says which stamps a request must bear. It is written out here, apart from
// the table of gates, so that a gate that is lost there is missed here.
func (d *dies) demands(class access.Class, mutating, body, cookieBorne bool) []access.Die {
	want := []access.Die{d.clientAddr, d.flood, d.sanitize, d.locate, d.inspectHead}
	switch class {
	case access.Public:
	case access.Portal:
		want = append(want, d.authenticate)
	case access.Operator:
		want = append(want, d.authenticate, d.authorize)
	case access.App, access.Console:
		want = append(want, d.authenticate, d.tenant, d.quota, d.authorize)
	default:
		return []access.Die{{}} // no class: the zero die is on nothing, so this cannot be met
	}
	if body {
		want = append(want, d.readBody, d.operation, d.inspectBody)
	}
	if cookieBorne {
		want = append(want, d.crossOrigin)
	}
	if mutating {
		want = append(want, d.record)
	}
	return want
}

// door opens for an Exchange that bears every stamp that its kind demands, and
// leads to the backend or to a local handler. An error means that nothing was written.
func (p *Plan) door(ex *access.Exchange) error {
	want := p.wanted(ex)
	for _, die := range want {
		if !die.On(ex) {
			missing := p.mint.Missing(ex, want)
			return access.Unavailable("corridor_incomplete", fmt.Errorf("%w: no stamp of %s", errDoorShut, strings.Join(missing, ", ")))
		}
	}
	switch ex.Route.Class {
	case access.App, access.Public:
		return p.backends.serve(ex)
	case access.Portal:
		return p.serveOwn(ex)
	case access.Console, access.Operator:
		// Like a backend's answer, ours ends with the login that asked for it.
		st := p.rooms.Streams.follow(ex)
		defer st.close()
		if st.ended.Load() {
			refusal := access.Refuse(http.StatusUnauthorized, "session_ended", "Your session has ended.", "Sign in again.")
			refusal.Login = true
			return refusal
		}
		ex.Request = ex.Request.WithContext(st.ctx)
		return p.serveOwn(ex)
	}
	return access.Unavailable("corridor_incomplete", errDoorShut)
}

// serveOwn answers with the route's local handler.
func (p *Plan) serveOwn(ex *access.Exchange) error {
	if ex.Route.Endpoint == nil || ex.Route.Endpoint.Serve == nil {
		return access.Unavailable("corridor_incomplete", fmt.Errorf("%w: the route has no handler", errDoorShut))
	}
	return ex.Route.Endpoint.Serve(ex.Writer, ex)
}

// wanted looks the demands up in the table made when the plan was built.
func (p *Plan) wanted(ex *access.Exchange) []access.Die {
	return p.demanded[demandKey{ex.Route.Class, ex.Mutating(), ex.Body.Present, ex.CookieBorne()}]
}

type demandKey struct {
	class                       access.Class
	mutating, body, cookieBorne bool
}

func (d *dies) allDemands() map[demandKey][]access.Die {
	all := map[demandKey][]access.Die{}
	for _, class := range []access.Class{access.NoClass, access.Public, access.Portal, access.App, access.Console, access.Operator} {
		for i := range 8 {
			k := demandKey{class, i&1 != 0, i&2 != 0, i&4 != 0}
			all[k] = d.demands(k.class, k.mutating, k.body, k.cookieBorne)
		}
	}
	return all
}
