package operation

import (
	"errors"
	"slices"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/strictjson"
)

// guard watches over the names by which a body could choose a tenant. Whatever stands
// under one of them must be the tenant of the identity, as a text and exactly; a null, a number,
// an object, an empty text is a choice that the backend might understand in its own way.
type guard struct {
	form, json access.GuardedNames
	tenant     string   // "" when nobody asks: then nothing may stand there
	seen       []string // form names, as Find gives them, that were hit, since none may come twice
}

var (
	errTenant      = errors.New("a guarded name holds something other than the identity's tenant")
	errTenantTwice = errors.New("a guarded name is given twice")
	errTenantFile  = errors.New("a guarded name is given to a file, or after the first file")
)

// newGuard makes the guard of a request. Only what a backend gets is guarded: on our
// own pages a tenant may be a field like others, and it chooses nothing there.
func newGuard(ex *access.Exchange) guard {
	var g guard
	if ex.Route.Class != access.App && ex.Route.Class != access.Public || ex.Site == nil {
		return g
	}
	g.tenant = ex.Tenant().String()
	g.form, g.json = access.GuardNames(ex.Site.Guard.Form), access.GuardNames(ex.Site.Guard.JSON)
	return g
}

// value judges one JSON value. An array passes by itself, since its elements are
// judged under the same name, but an empty one says something other than the tenant.
func (g *guard) value(v strictjson.Value) error {
	if !v.Named {
		return nil
	}
	hit, composite := g.json.Find(v.Name)
	if hit == "" {
		return nil
	}
	ok := v.Kind == strictjson.Array && !v.Empty ||
		v.Kind == strictjson.String && g.tenant != "" && v.Text == g.tenant
	if !ok || composite {
		return errTenant
	}
	return nil
}

// field judges one form field. name is as decoded by the form's own rules.
func (g *guard) field(name, text string) error {
	hit, composite := g.form.Find(name)
	switch {
	case hit == "":
		return nil
	case composite || g.tenant == "" || text != g.tenant:
		return errTenant
	case slices.Contains(g.seen, hit):
		return errTenantTwice
	}
	g.seen = append(g.seen, hit)
	return nil
}
