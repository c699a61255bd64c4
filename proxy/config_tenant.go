package proxy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
)

func (c SiteConfig) checkTenant(problem, warn report) {
	c.checkHeaders(problem)
	for i, full := range c.Tenant.Guard {
		place, name, ok := strings.Cut(full, ".")
		if !ok || name == "" || !slices.Contains([]string{"path", "query", "form", "json"}, place) {
			problem(fmt.Sprintf("tenant.guard[%d]", i), "not a place and name", "path.NAME, query.NAME, form.NAME or json.NAME, such as query.tenant_id")
		}
	}
	guard := guardOf(c.Tenant.Guard)
	for _, name := range guard.Path {
		if !c.hasPlaceholder(name) {
			warn("tenant.guard", fmt.Sprintf("no resource's path has the placeholder {%s}, so path.%s guards nothing", name, name), "list a resource such as /t/{"+name+"}/records/{id}")
		}
	}
	c.checkPathNames(problem)
	if guard.Empty() && !c.Tenant.PathElement && len(c.Tenant.Upstreams) == 0 {
		warn("tenant.guard", "no place is guarded where a client could name another tenant", "list the parameters that the application takes a tenant from")
	}
}

// checkPathNames refuses an element that stands for two tenants: one would reach the other's.
func (c SiteConfig) checkPathNames(problem report) {
	taken := map[string]string{}
	for _, tenant := range slices.Sorted(maps.Keys(c.Tenant.PathNames)) {
		at, element := "tenant.path_names."+tenant, c.Tenant.PathNames[tenant]
		if _, err := access.ParseTenantID(tenant); err != nil {
			problem(at, err.Error(), "use the tenant's id from directory.tenants")
		}
		if element == "" || strings.Contains(element, "/") {
			problem(at, fmt.Sprintf("%q is not one path element", element), "such as the name of the tenant's database")
		}
		if other, ok := taken[element]; ok {
			problem(at, fmt.Sprintf("the element %q stands for tenant %s too", element, other), "give each tenant an element of its own")
		}
		taken[element] = tenant
	}
}

// checkHeaders wants a name of its own for each header that tells the backend who asks: under one
// name two of them would be one, and a client's own header could not be told apart.
func (c SiteConfig) checkHeaders(problem report) {
	c = c.WithDefaults()
	taken := map[string]string{}
	for _, h := range []struct{ path, name string }{{"tenant.header", c.Tenant.Header}, {"headers.user_id", c.Headers.UserID},
		{"headers.email", c.Headers.Email}, {"headers.roles", c.Headers.Roles}, {"headers.assertion", c.Headers.Assertion}} {
		folded := access.FoldName(h.name)
		switch {
		case !validToken(h.name):
			problem(h.path, "not a header name", "such as X-Tenant-ID")
		case decisive(folded) || slices.Contains([]string{"x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "set-cookie", "accept-encoding", "range"}, folded):
			problem(h.path, fmt.Sprintf("%s has a meaning of its own", h.name), "a name of its own, such as X-Tenant-ID")
		case taken[folded] != "":
			problem(h.path, fmt.Sprintf("%s is the header of %s too", h.name, taken[folded]), "give each a name of its own")
		}
		taken[folded] = h.path
	}
	for i, name := range c.Headers.Protect {
		if !validToken(name) {
			problem(fmt.Sprintf("headers.protect[%d]", i), "not a header name", "such as X-Acting-User")
		}
	}
}
