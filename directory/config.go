package directory

import (
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// The bounds of the configuration.
const (
	MaxTenants    = 10_000
	MaxDomains    = 100 // of one tenant
	MaxNameLength = 100 // bytes of a tenant's name
)

// Config is the key "directory" of the configuration file.
type Config struct {
	Tenants []Tenant `yaml:"tenants" doc:"The organisations that use the application; at most 10000. Default: none."`
}

// Tenant is one organisation.
type Tenant struct {
	ID      string   `yaml:"id" doc:"The tenant's id, which the backend gets in the tenant header: 1 to 63 characters of a-z, 0-9, '-' and '_', a letter or digit first. Required."`
	Name    string   `yaml:"name" doc:"The organisation's name for people, at most 100 bytes. Default: the id."`
	Domains []string `yaml:"domains" doc:"E-mail domains that belong to this tenant alone, in lower case; the login page finds the tenant's identity provider by them. At most 100. Default: none."`
}

// WithDefaults gives each tenant without a name its id as name.
func (c Config) WithDefaults() Config {
	tenants := make([]Tenant, len(c.Tenants))
	for i, t := range c.Tenants {
		if t.Name == "" {
			t.Name = t.ID
		}
		tenants[i] = t
	}
	c.Tenants = tenants
	return c
}

// Check reports every problem of the configuration. It does no I/O.
func (c Config) Check(problem, warn func(path, what, hint string)) {
	if len(c.Tenants) > MaxTenants {
		problem("tenants", fmt.Sprintf("%d tenants", len(c.Tenants)), fmt.Sprintf("at most %d are allowed", MaxTenants))
		return
	}
	ids, domains := map[string]int{}, map[string]int{}
	for i, t := range c.Tenants {
		path := fmt.Sprintf("tenants[%d]", i)
		if _, err := access.ParseTenantID(t.ID); err != nil {
			problem(path+".id", err.Error(), "such as acme")
		} else if first, taken := ids[t.ID]; taken {
			problem(path+".id", fmt.Sprintf("tenant %q is already tenants[%d]", t.ID, first), "every tenant has an id of its own")
		} else {
			ids[t.ID] = i
		}
		if len(t.Name) > MaxNameLength || strings.ContainsFunc(t.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			problem(path+".name", "too long, or with control characters", fmt.Sprintf("at most %d bytes of plain text", MaxNameLength))
		}
		t.checkDomains(i, path, domains, problem, warn)
	}
}

func (t Tenant) checkDomains(i int, path string, domains map[string]int, problem, warn func(path, what, hint string)) {
	if len(t.Domains) > MaxDomains {
		problem(path+".domains", fmt.Sprintf("%d domains", len(t.Domains)), fmt.Sprintf("at most %d are allowed", MaxDomains))
		return
	}
	for j, d := range t.Domains {
		at := fmt.Sprintf("%s.domains[%d]", path, j)
		first, taken := domains[d]
		switch {
		case !validDomain(d):
			problem(at, fmt.Sprintf("%q is not an e-mail domain in lower case", d), "such as acme.example; international names in their xn-- form")
		case taken && first == i:
			problem(at, fmt.Sprintf("domain %q stands here twice", d), "remove one")
		case taken:
			problem(at, fmt.Sprintf("domain %q already belongs to tenants[%d]", d, first), "a domain belongs to one tenant: it decides whose identity provider is asked")
		default:
			domains[d] = i
		}
		if publicMail(d) {
			warn(at, fmt.Sprintf("%q is a public mail service", d), "everyone with an address there would be sent to this tenant's identity provider")
		}
	}
}

// validDomain accepts a host name of at least two labels (RFC 1035, section 2.3.1, with the
// digits of RFC 1123) in lower case.
func validDomain(d string) bool {
	if len(d) > 253 || !strings.Contains(d, ".") {
		return false
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

func publicMail(d string) bool {
	switch d {
	case "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com", "gmx.de", "gmx.net", "proton.me", "protonmail.com", "aol.com", "web.de", "mail.ru", "qq.com", "163.com":
		return true
	}
	return false
}
