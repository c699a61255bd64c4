package demo

// Tenant is an organisation of the demo.
type Tenant struct {
	ID     string // what stands in X-Tenant-ID
	Name   string
	Domain string // of its people's e-mail addresses
}

// Tenants are the demo's organisations.
func Tenants() []Tenant {
	return []Tenant{
		{ID: "acme", Name: "Acme Industries", Domain: "acme.example"},
		{ID: "globex", Name: "Globex Corporation", Domain: "globex.example"},
		{ID: "initech", Name: "Initech", Domain: "initech.example"},
	}
}

// Roles are the roles of each tenant's people, the most powerful first: there is one
// person for each.
func Roles() []string { return []string{"owner", "admin", "member", "viewer"} }

// people are the names of those persons, by tenant and role.
var people = map[string]map[string]string{
	"acme":    {"owner": "Olivia Brandt", "admin": "Adam Keller", "member": "Mia Santos", "viewer": "Victor Lindqvist"},
	"globex":  {"owner": "Oscar Haddad", "admin": "Aiko Tanaka", "member": "Marta Nowak", "viewer": "Vera Okafor"},
	"initech": {"owner": "Owen Castillo", "admin": "Amina Yilmaz", "member": "Milton Rossi", "viewer": "Valerie Dubois"},
}

// Resource tells what a part of the CRM's addresses means.
type Resource struct {
	Type string // contact
	Path string // contacts: /contacts and /api/contacts
	// Legacy has one page at /<path>/card, where a parameter tells what to do.
	Legacy bool
}

// Resources lists the sorts of records.
func Resources() []Resource {
	var all []Resource
	for _, k := range kinds() {
		all = append(all, Resource{Type: k.Type, Path: k.Path, Legacy: k.Legacy})
	}
	return all
}
