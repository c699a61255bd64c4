package proxy

import (
	"errors"
	"net/http"

	"github.com/sallyport/sallyport/access"
)

var errNoTenant = errors.New("the identity has no tenant")

// tenant takes the tenant from the identity and from nowhere else, and refuses a request whose
// path or query names another one. The body's turn comes in the operation gate.
func (p *Plan) tenant(die access.Die) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		if ex.Identity == nil { // closed: authenticate lets nobody without an identity get here
			return access.Unavailable("authentication_unavailable", errNobody)
		}
		own := ex.Identity.Tenant
		if own.IsZero() { // closed: without a tenant there is nothing that they may see
			return access.Refuse(http.StatusForbidden, "no_tenant", "Your account belongs to no organisation here.",
				"Ask your administrator to add you to one.").Because(errNoTenant)
		}
		if err := guardQuery(ex, own); err != nil {
			return err
		}
		if ex.Route.Class == access.App {
			if err := p.guardPath(ex, own); err != nil {
				return err
			}
		}
		die.Press(ex)
		return nil
	}
}

func guardQuery(ex *access.Exchange, own access.TenantID) error {
	for _, pair := range ex.Target.Query {
		if guarded(ex.Site.Guard.Query, pair.Name) && pair.Value != own.String() {
			return tenantMismatch("query parameter")
		}
	}
	return nil
}

func (p *Plan) guardPath(ex *access.Exchange, own access.TenantID) error {
	for _, param := range ex.Route.Params {
		if guarded(ex.Site.Guard.Path, param.Name) && param.Value != own.String() {
			return tenantMismatch("path")
		}
	}
	s := p.sites.of(ex.Site)
	if s == nil || !s.cfg.Tenant.PathElement {
		return nil
	}
	want := own.String()
	if name, ok := s.cfg.Tenant.PathNames[want]; ok {
		want = name
	}
	if elements := splitPath(ex.Target.Path); len(elements) == 0 || elements[0] != want {
		return tenantMismatch("path")
	}
	return nil
}

// guarded says whether a parameter's name is, to some backend, one of the guarded ones:
// folded as a whole, or up to a '[' (PHP's tenant_id[] and tenant_id[x]).
func guarded(names []string, name string) bool {
	if len(names) == 0 {
		return false
	}
	folded, stem := access.FoldName(name), access.FoldName(bracketStem(name))
	for _, g := range names {
		if g := access.FoldName(g); g == folded || g == stem {
			return true
		}
	}
	return false
}

func bracketStem(name string) string {
	for i := range len(name) {
		if name[i] == '[' {
			return name[:i]
		}
	}
	return name
}

func tenantMismatch(place string) error {
	return access.Refuse(http.StatusForbidden, "tenant_mismatch",
		"The "+place+" of this request names an organisation other than the one you are signed in to.",
		"Use addresses of your own organisation, or sign in to the other one.")
}
