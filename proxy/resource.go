package proxy

import (
	"maps"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// resource is one configured meaning of an address.
type resource struct {
	kind       string
	item       pattern
	collection pattern
	hasColl    bool
	actions    map[string]string // rest: by method
	jsonrpc    *access.JSONRPC
	form       *access.FormAction
	override   *access.FormAction // rest: what _method means, where the site has it

	// The same without actions that only read, for addresses that just resemble the resource's.
	strictRPC  *access.JSONRPC
	strictForm *access.FormAction
}

func newResource(rc ResourceConfig, overrides bool) (resource, error) {
	r := resource{kind: rc.Type, actions: rc.Actions}
	path := rc.Path
	switch {
	case rc.JSONRPC != nil:
		path = rc.JSONRPC.Path
		r.jsonrpc = &access.JSONRPC{Methods: invert(rc.JSONRPC.Methods), Resources: rc.JSONRPC.Resources, ID: rc.JSONRPC.ID}
	case rc.Form != nil:
		path = rc.Form.Path
		r.form = &access.FormAction{Parameter: rc.Form.Action, Actions: invert(rc.Form.Actions), ID: rc.Form.ID}
	}
	var err error
	if r.item, err = parsePattern(path); err != nil {
		return resource{}, err
	}
	switch {
	case r.jsonrpc != nil:
		strict := *r.jsonrpc
		strict.Methods = withoutReads(strict.Methods)
		r.strictRPC = &strict
	case r.form != nil:
		strict := *r.form
		strict.Actions = withoutReads(strict.Actions)
		r.strictForm = &strict
	default:
		r.collection, r.hasColl = r.item.collection()
		if overrides {
			r.override = r.overrides()
		}
	}
	return r, nil
}

func withoutReads(actions map[string]string) map[string]string {
	strict := map[string]string{}
	for name, action := range actions {
		if !access.Reads(action) {
			strict[name] = action
		}
	}
	return strict
}

// overrides is what the form field _method means on a rest resource, by which Rails, Laravel
// and their kin let a form ask for another verb. Any other value is an unknown change.
func (r *resource) overrides() *access.FormAction {
	f := &access.FormAction{Parameter: "_method", Actions: map[string]string{}}
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete} {
		action := r.action(method, true)
		if access.Reads(action) { // a form that needs the field does not read
			action = access.ActionUnknown
		}
		f.Actions[method], f.Actions[strings.ToLower(method)] = action, action
	}
	return f
}

// invert turns the file's "names by action" into "action by name".
func invert(byAction map[string][]string) map[string]string {
	byName := map[string]string{}
	for action, names := range byAction {
		for _, name := range names {
			byName[name] = action
		}
	}
	return byName
}

// routeTo gives an exchange the meaning of a resource. An address that just resembles the
// resource's gets its rules, but only what reads by its verb is known to read.
func (s *site) routeTo(r *resource, ex *access.Exchange, params []access.Pair, item, resembles bool) error {
	route := access.Route{Class: access.App, Pattern: r.item.text, Resource: r.kind, Params: params, Body: s.bodyRule(ex.Target.Path)}
	switch {
	case r.jsonrpc != nil:
		op := access.Operation{JSONRPC: r.jsonrpc}
		if resembles {
			op.JSONRPC = r.strictRPC
		}
		route.Action, route.Operation = access.ActionUnknown, &op
		route.Body.Types = []string{"application/json"} // XML-RPC and the like on the same address: 415
	case r.form != nil:
		form := r.form
		if resembles && (ex.Body.Present || !reads(ex.Request.Method)) {
			form = r.strictForm
		}
		if err := formRoute(form, ex, &route); err != nil {
			return err
		}
	default:
		r.restRoute(ex, item, &route)
		if resembles {
			route.ReadOnly = route.ReadOnly && access.Reads(verbAction(ex.Request.Method, item))
		}
	}
	ex.Route = route
	return nil
}

// match fits a path, as an item or as the collection of a rest resource.
func (r *resource) match(ex *access.Exchange, path string) (params []access.Pair, item, ok bool) {
	if r.jsonrpc != nil && !calls(ex) {
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

// resembles is match for addresses that some backend takes for the resource's.
func (r *resource) resembles(ex *access.Exchange, elements []string) (params []access.Pair, item, ok bool) {
	if r.jsonrpc != nil && !calls(ex) {
		return nil, false, false
	}
	if params, ok = r.item.resembles(elements); ok {
		return params, true, true
	}
	if r.hasColl {
		params, ok = r.collection.resembles(elements)
	}
	return params, false, ok
}

// calls says whether a request may be a JSON-RPC call: backends that read the body do not always
// look at the verb, and JSON-RPC 1.1 has calls by GET. Plain reads of the same address are
// pages, such as the client's own.
func calls(ex *access.Exchange) bool {
	if !reads(ex.Request.Method) || ex.Body.Present {
		return true
	}
	for _, pair := range ex.Target.Query {
		if sameParameter(pair.Name, "method") {
			return true
		}
	}
	return false
}

func (r *resource) restRoute(ex *access.Exchange, item bool, route *access.Route) {
	method := ex.Request.Method
	route.Action = r.action(method, item)
	route.ReadOnly = access.Reads(route.Action) && !ex.Upgrade() // what a WebSocket will do is unknown
	if item && len(route.Params) > 0 {
		route.ID = boundedID(route.Params[len(route.Params)-1].Value)
	}
	if r.override != nil && method == http.MethodPost && ex.Body.Present {
		f := *r.override
		f.Actions = maps.Clone(f.Actions)
		for _, unchanged := range []string{"", "post", http.MethodPost} {
			f.Actions[unchanged] = route.Action
		}
		route.Operation = &access.Operation{Form: &f}
	}
}

// action is what a method means on the resource.
func (r *resource) action(method string, item bool) string {
	if action, ok := r.actions[method]; ok {
		return action
	}
	return verbAction(method, item)
}

// boundedID keeps an id within its 256 bytes. One that is longer ends in "…", so that it
// equals no id that a rule names.
func boundedID(id string) string {
	const most, more = 256, "…"
	if len(id) <= most {
		return id
	}
	return strings.ToValidUTF8(id[:most-len(more)], "") + more
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
