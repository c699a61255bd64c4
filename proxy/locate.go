package proxy

import (
	"errors"
	"net/http"
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
		return access.Refuse(http.StatusForbidden, "websocket_off", "This site does not use WebSockets.", "")
	}
	if reads(ex.Request.Method) && !ex.Upgrade() {
		for i := range s.public {
			if _, ok := s.public[i].match(path); ok {
				ex.Route = access.Route{Class: access.Public, Pattern: s.public[i].text, Resource: "asset", Action: access.ActionRead, ReadOnly: true}
				return nil
			}
		}
	}
	return s.routeApp(ex)
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

// routeApp finds the first resource that fits. An address that the file does not list is of
// type OtherResource, with the verb's action.
func (s *site) routeApp(ex *access.Exchange) error {
	route := access.Route{Class: access.App, Resource: access.OtherResource, Body: s.bodyRule(ex.Target.Path)}
	for i := range s.resources {
		r := &s.resources[i]
		params, item, ok := r.match(ex.Request.Method, ex.Target.Path)
		if !ok {
			continue
		}
		route.Pattern, route.Resource, route.Params = r.item.text, r.kind, params
		switch {
		case r.jsonrpc != nil:
			route.Action, route.Operation = access.ActionUnknown, &access.Operation{JSONRPC: r.jsonrpc}
			route.Body.Types = []string{"application/json"} // XML-RPC and the like on the same address: 415
		case r.form != nil:
			if err := r.formRoute(ex, &route); err != nil {
				return err
			}
		default:
			r.restRoute(ex.Request.Method, item, &route)
			route.ReadOnly = route.ReadOnly && !ex.Upgrade() // what a WebSocket will do is unknown
		}
		ex.Route = route
		return s.onceEach(ex)
	}
	route.Action = verbAction(ex.Request.Method, false)
	route.ReadOnly = access.Reads(route.Action) && !ex.Upgrade()
	ex.Route = route
	return s.onceEach(ex)
}

// match fits a path, as an item or as the collection of a rest resource.
func (r *resource) match(method, path string) (params []access.Pair, item, ok bool) {
	if r.jsonrpc != nil && method != http.MethodPost {
		return nil, false, false
	}
	if params, ok = r.item.match(path); ok {
		return params, true, true
	}
	if r.hasColl && path != "/" {
		if params, ok = r.collection.match(strings.TrimSuffix(path, "/")); ok {
			return params, false, true
		}
	}
	return nil, false, false
}

func (r *resource) restRoute(method string, item bool, route *access.Route) {
	route.Action = verbAction(method, item)
	if action, ok := r.actions[method]; ok {
		route.Action = action
	}
	route.ReadOnly = access.Reads(route.Action)
	if item && len(route.Params) > 0 {
		route.ID = clip(route.Params[len(route.Params)-1].Value, 256)
	}
}

// verbAction is what a method means on a rest resource (RFC 9110, section 9.3).
func verbAction(method string, item bool) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return access.ActionRead
	case http.MethodPost:
		if item {
			return access.ActionUpdate
		}
		return access.ActionCreate
	case http.MethodPut, http.MethodPatch:
		return access.ActionUpdate
	case http.MethodDelete:
		return access.ActionDelete
	}
	return access.ActionUnknown
}

// formRoute reads the action from the query, where old applications have it even in a GET.
// A body, if there is one, is looked at by the operation gate.
func (r *resource) formRoute(ex *access.Exchange, route *access.Route) error {
	value, found, err := onlyParameter(ex.Target.Query, r.form.Parameter)
	if err != nil {
		return err
	}
	switch action, listed := r.form.Actions[value]; {
	case listed:
		route.Action = action
	case !found && reads(ex.Request.Method) && !ex.Body.Present:
		route.Action = access.ActionRead
	default:
		route.Action = access.ActionUnknown
	}
	route.ReadOnly = access.Reads(route.Action) && !ex.Body.Present && !ex.Upgrade()
	if r.form.ID != "" {
		id, _, err := onlyParameter(ex.Target.Query, r.form.ID)
		if err != nil {
			return err
		}
		route.ID = clip(id, 256)
	}
	if ex.Body.Present {
		route.Operation = &access.Operation{Form: r.form}
	}
	return nil
}

// onlyParameter gives the value of a parameter that decides something. Given twice, or in
// another spelling that some backend takes for the same name, it is refused.
func onlyParameter(query []access.Pair, name string) (value string, found bool, err error) {
	for _, pair := range query {
		if !guarded([]string{name}, pair.Name) {
			continue
		}
		if found || pair.Name != name {
			return "", false, malformed("query_ambiguous", "A parameter that tells what to do is given twice, or in an odd spelling.")
		}
		value, found = pair.Value, true
	}
	return value, found, nil
}

// onceEach refuses a guarded query parameter that is given twice: the gateway could check one
// and the backend take the other. And _method in a query has no place anywhere.
func (s *site) onceEach(ex *access.Exchange) error {
	var seen []string
	for _, pair := range ex.Target.Query {
		if access.FoldName(pair.Name) == "-method" {
			return errOverride()
		}
		if !guarded(s.Guard.Query, pair.Name) {
			continue
		}
		stem := access.FoldName(bracketStem(pair.Name))
		if slices.Contains(seen, stem) {
			return malformed("query_ambiguous", "A parameter that names the organisation is given twice.")
		}
		seen = append(seen, stem)
	}
	return nil
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
func (p *Plan) stillAllowed(old *access.Exchange) bool {
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
