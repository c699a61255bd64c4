package proxy

import (
	"errors"
	"net/http"

	"github.com/sallyport/sallyport/access"
)

var (
	errNoTenant = errors.New("the identity has no tenant")
	errNoSite   = errors.New("the site is not one of this plan")
)

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
		s := p.sites.of(ex.Site)
		if s == nil { // closed: the site is not one of this plan, so its guards are unknown
			return access.Unavailable("no_backend", errNoSite)
		}
		if err := s.guardQuery(ex, own); err != nil {
			return err
		}
		if ex.Route.Class == access.App {
			if err := s.guardPath(ex, own); err != nil {
				return err
			}
		}
		die.Press(ex)
		return nil
	}
}

// guardQuery wants the own tenant and nothing else under every guarded name: "tenant_id[$ne]=acme"
// is an operator to some backends, so a name that goes on is refused whatever its value.
func (s *site) guardQuery(ex *access.Exchange, own access.TenantID) error {
	for _, pair := range ex.Target.Query {
		if hit, composite := s.guardedQuery.Find(pair.Name); hit != "" && (composite || pair.Value != own.String()) {
			return tenantMismatch("query parameter")
		}
	}
	return nil
}

func (s *site) guardPath(ex *access.Exchange, own access.TenantID) error {
	for _, param := range ex.Route.Params {
		if s.guardedPath[access.FoldName(param.Name)] && param.Value != own.String() {
			return tenantMismatch("path")
		}
	}
	elements := splitPath(ex.Target.Path)
	if ex.Route.Pattern == "" {
		for _, g := range s.guardedPlaces {
			if g.names(elements, own) {
				return tenantMismatch("path")
			}
		}
	}
	if !s.cfg.Tenant.PathElement {
		return nil
	}
	want := own.String()
	if name, ok := s.cfg.Tenant.PathNames[want]; ok {
		want = name
	}
	if len(elements) == 0 || elements[0] != want {
		return tenantMismatch("path")
	}
	return nil
}

// guardedPlace is where a guarded placeholder stands in a pattern: behind these elements. It holds
// for every address below them, not just for those that the file lists.
type guardedPlace struct{ before []string }

// guardedPlaces finds the places of guarded placeholders that stand behind some text. One that
// begins its pattern would claim every address, so it counts for its pattern alone.
func guardedPlaces(p pattern, names map[string]bool) (places []guardedPlace) {
	text := false
	for i, e := range p.elements {
		switch name, is := placeholder(e); {
		case !is:
			text = text || e != "*"
		case text && names[access.FoldName(name)]:
			places = append(places, guardedPlace{p.elements[:i]})
		}
	}
	return places
}

// names says whether a path names another tenant in this place.
func (g guardedPlace) names(path []string, own access.TenantID) bool {
	below := pattern{elements: g.before, rest: true}
	for _, elements := range readings(path) {
		if _, ok := below.resembles(elements); ok && len(elements) > len(g.before) && elements[len(g.before)] != own.String() {
			return true
		}
	}
	return false
}

func tenantMismatch(place string) error {
	return access.Refuse(http.StatusForbidden, "tenant_mismatch",
		"The "+place+" of this request names an organisation other than the one you are signed in to.",
		"Use addresses of your own organisation, or sign in to the other one.")
}
