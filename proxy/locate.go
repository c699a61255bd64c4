package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
)

var errNoTarget = errors.New("the target has not been read")

// locate finds the site by host and the route by path: its class, and resource, id, action
// and whether it may change something, as far as the head tells. Whatever is not known to be
// read-only is mutating.
func (p *Plan) locate(die access.Die) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		if ex.Target.Path == "" { // closed: sanitize has not been passed
			return access.Unavailable("target_unavailable", errNoTarget)
		}
		s, err := p.siteOf(ex.Request)
		if err != nil {
			return err
		}
		ex.Site = &s.Site
		if err := p.preflight(ex, s); err != nil {
			return err
		}
		if err := s.route(ex); err != nil {
			return err
		}
		die.Press(ex)
		return nil
	}
}

// siteOf refuses an unknown host, and a TLS server name other than the host (RFC 9110, section
// 7.4): 421 makes a browser that merged connections open another. Plain HTTP never gets here
// but by a mistake of ours.
func (p *Plan) siteOf(r *http.Request) (*site, error) {
	if r.TLS == nil {
		return nil, access.Refuse(http.StatusForbidden, "https_required", "This site is served over HTTPS alone.", "Use an https:// address.")
	}
	host := hostName(r.Host)
	s := p.sites.byHost[host]
	if s == nil || r.TLS.ServerName != "" && !strings.EqualFold(r.TLS.ServerName, host) {
		refusal := access.Refuse(http.StatusMisdirectedRequest, "unknown_host", "No site of that name is served here.", "Check the address.")
		refusal.Counted = true
		return nil, refusal
	}
	return s, nil
}

func (s *site) route(ex *access.Exchange) error {
	path := ex.Target.Path
	if path == s.Prefix || strings.HasPrefix(path, s.Prefix+"/") || s.endpoints[path] != nil {
		return s.routeOwn(ex)
	}
	if ex.Upgrade() && s.cfg.WebSocket != "opaque" {
		refusal := access.Refuse(http.StatusForbidden, "websocket_off", "This site does not use WebSockets.", "")
		refusal.Counted = true
		return refusal
	}
	if reads(ex.Request.Method) && !ex.Upgrade() && !s.namesTenant(ex) {
		for i := range s.public {
			if _, ok := s.public[i].match(path); ok {
				ex.Route = access.Route{Class: access.Public, Pattern: s.public[i].text, Resource: "asset", Action: access.ActionRead, ReadOnly: true}
				return nil
			}
		}
	}
	return s.routeApp(ex)
}

// namesTenant says whether the query names a tenant. A public address stops being public then: nobody
// asks there, so nobody's tenant could be compared.
func (s *site) namesTenant(ex *access.Exchange) bool {
	for _, pair := range ex.Target.Query {
		if hit, _ := s.guardedQuery.Find(pair.Name); hit != "" {
			return true
		}
	}
	return false
}

// routeOwn finds one of our own addresses. The application never answers below the prefix.
func (s *site) routeOwn(ex *access.Exchange) error {
	methods := s.endpoints[ex.Target.Path]
	if methods == nil {
		refusal := access.Refuse(http.StatusNotFound, "not_found", "There is no such page of the gateway.", "Go to the start page.")
		refusal.Counted = true
		return refusal
	}
	method := ex.Request.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	e := methods[method]
	if e == nil {
		refusal := access.Refuse(http.StatusMethodNotAllowed, "method_not_allowed", "This page does not answer that method.", "")
		refusal.Header = http.Header{"Allow": {allowed(methods)}}
		refusal.Counted = true
		return refusal
	}
	ex.Route = access.Route{Class: e.Class, Pattern: ex.Target.Path, Resource: "sallyport", Action: e.Action,
		ReadOnly: e.ReadOnly, Body: e.Body, Endpoint: e}
	return nil
}

func allowed(methods map[string]*access.Endpoint) string {
	var names []string
	for m := range methods {
		if names = append(names, m); m == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// routeApp finds the first resource that fits, or else the first that the address resembles. An
// address that the file does not list is of type OtherResource, with the verb's action.
func (s *site) routeApp(ex *access.Exchange) error {
	if err := s.onceEach(ex); err != nil {
		return err
	}
	for i := range s.resources {
		if params, item, ok := s.resources[i].match(ex, ex.Target.Path); ok {
			return s.routeTo(&s.resources[i], ex, params, item, false)
		}
	}
	all := readings(splitPath(ex.Target.Path))
	for _, text := range []bool{true, false} { // a pattern of placeholders alone resembles much, so it comes last
		for _, elements := range all {
			for i := range s.resources {
				r := &s.resources[i]
				if r.item.hasText() != text || !text && r.jsonrpc == nil {
					continue
				}
				if params, item, ok := r.resembles(ex, elements); ok {
					return s.routeTo(r, ex, params, item, true)
				}
			}
		}
	}
	return s.routeTo(&s.unlisted, ex, nil, false, false)
}

// defaultBody is what a body may be where the file says nothing: what browsers and APIs send.
var defaultBody = access.BodyRule{Types: []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data"}, Max: 10 << 20}

func (s *site) bodyRule(path string) access.BodyRule {
	for i := range s.bodies {
		if _, ok := s.bodies[i].pattern.match(path); ok {
			return s.bodies[i].rule
		}
	}
	return defaultBody
}

// stillAllowed asks this plan again about a stream that began under an older one: the site
// must still be there, the tenant fit, and policy say yes. What the body told the older plan
// about the route still holds.
func (p *Plan) stillAllowed(old *access.Exchange) (allowed bool) {
	defer func() {
		if fault := recover(); fault != nil { // closed: what cannot be judged does not go on
			p.rooms.Log.Error("panic while a stream was authorized again", "request", old.ID, "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
			allowed = false
		}
	}()
	ex := p.mint.Receive(access.Exchange{Request: old.Request, ID: old.ID, Received: old.Received, Client: old.Client,
		Target: old.Target, Identity: old.Identity, Credential: old.Credential})
	for _, pass := range []func(*access.Exchange) error{p.locate(p.dies.locate), p.tenant(p.dies.tenant)} {
		if pass(ex) != nil {
			return false
		}
	}
	if old.Route.Operation != nil {
		ex.Route.Action, ex.Route.Resource, ex.Route.ID, ex.Route.ReadOnly = old.Route.Action, old.Route.Resource, old.Route.ID, old.Route.ReadOnly
	}
	return authorize(p.dies.authorize, p.rooms.Policy)(ex) == nil
}
