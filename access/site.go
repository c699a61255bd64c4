package access

import "net/http"

// Site is one application behind the gateway: the part of its configuration that
// more than one room reads. It is immutable; a reload makes new ones.
type Site struct {
	// Name is the site's name in the file; the audience of its tokens.
	Name string
	// Origin is the site's own origin, such as "https://crm.example.com", of its first host.
	Origin string
	// Hosts are the names it answers to, in lower case.
	Hosts []string
	// Prefix is where our own addresses begin on this site, such as "/.sallyport".
	Prefix string
	// TenantHeader is the one header that tells the backend the tenant.
	TenantHeader string
	// Guard names the places where a client could name a tenant.
	Guard Guard
	// Mode of the WAF on this site: enforce, shadow or off. The zero value enforces.
	WAF Mode
}

// Guard lists the names under which a client could try to name a tenant, by place.
// Names are compared folded (see FoldName). Whatever stands there must be the
// identity's own tenant.
type Guard struct {
	Path  []string // placeholders of resource patterns
	Query []string
	Form  []string // urlencoded and multipart fields
	JSON  []string // keys at any depth
}

// Empty says that nothing is guarded.
func (g Guard) Empty() bool {
	return len(g.Path)+len(g.Query)+len(g.Form)+len(g.JSON) == 0
}

// Mode says what a security stage does with what it finds.
type Mode uint8

// The modes. The zero value enforces.
const (
	Enforce Mode = iota
	Shadow       // judge, count, log, and let pass
	Off
)

// Endpoint is one of our own addresses on every site: a page or an API call that is
// answered here, behind the same corridor as everything else.
type Endpoint struct {
	// Path stands below the site's prefix, without a leading slash: "oidc/callback".
	Path string
	// Method is GET (which answers HEAD as well) or POST.
	Method string
	Class  Class
	// Action is what the audit event calls it.
	Action string
	// ReadOnly endpoints leave no audit event.
	ReadOnly bool
	// CrossSite exempts it from the cross-origin rule, because it is reached from
	// another site by design and carries a proof of its own (state, signature).
	CrossSite bool
	// Always lets it proceed when the journal cannot write: logout and revocation.
	Always bool
	// Body bounds what may be posted.
	Body BodyRule
	// Serve answers. An error that it returns becomes a refusal; it must not have
	// written anything then.
	Serve func(w http.ResponseWriter, ex *Exchange) error
}
