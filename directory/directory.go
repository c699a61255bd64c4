package directory

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// Directory is a snapshot of who exists.
type Directory struct {
	tenants map[access.TenantID]Organisation
	domains map[string]access.TenantID
}

// Organisation is a tenant as people know it.
type Organisation struct {
	ID   access.TenantID
	Name string
	// Domains are the e-mail domains that belong to it alone. Not to be changed.
	Domains []string
}

// New makes the snapshot. A configuration that Check has a problem with is an error.
func New(c Config) (*Directory, error) {
	c = c.WithDefaults()
	var first error
	c.Check(func(path, what, _ string) {
		if first == nil {
			first = fmt.Errorf("directory.%s: %s", path, what)
		}
	}, func(string, string, string) {})
	if first != nil {
		return nil, first
	}
	d := &Directory{tenants: make(map[access.TenantID]Organisation, len(c.Tenants)), domains: map[string]access.TenantID{}}
	for _, t := range c.Tenants {
		id, err := access.ParseTenantID(t.ID)
		if err != nil {
			return nil, fmt.Errorf("directory: %w", err)
		}
		d.tenants[id] = Organisation{ID: id, Name: t.Name, Domains: slices.Clone(t.Domains)}
		for _, domain := range t.Domains {
			d.domains[domain] = id
		}
	}
	return d, nil
}

// Tenant gives the tenant of that id. The zero id is nobody's.
func (d *Directory) Tenant(id access.TenantID) (Organisation, bool) {
	o, ok := d.tenants[id]
	return o, ok
}

// Tenants gives all tenants in the order of their ids.
func (d *Directory) Tenants() []Organisation {
	all := make([]Organisation, 0, len(d.tenants))
	for _, o := range d.tenants {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b Organisation) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return all
}

// ByDomain gives the tenant to which an e-mail domain belongs, whatever its ASCII case. It
// matches whole domains only: a subdomain is another domain.
func (d *Directory) ByDomain(domain string) (access.TenantID, bool) {
	if len(domain) > 253 {
		return access.TenantID{}, false
	}
	id, ok := d.domains[lower(domain)]
	return id, ok
}

// lower folds ASCII alone: Unicode folding would make the Kelvin sign a 'k', and
// another domain ours.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// TenantName is what people call the tenant, or "" when nobody has that id.
func (d *Directory) TenantName(id access.TenantID) string { return d.tenants[id].Name }
