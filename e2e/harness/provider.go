package harness

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Person is somebody at an organisation's identity provider.
type Person struct {
	Tenant, Name, Role string
}

// Email is the person's address; the domain belongs to the tenant.
func (p Person) Email() string { return p.Name + "@" + p.Tenant + ".test" }

// Password is what the person types at the provider.
func (p Person) Password() string { return "the " + p.Role + "'s own" }

// The people of the tests: one for each role in each of two organisations.
var (
	Olivia = Person{"acme", "olivia", "owner"}
	Adam   = Person{"acme", "adam", "admin"}
	Mia    = Person{"acme", "mia", "member"}
	Victor = Person{"acme", "victor", "viewer"}
	Gina   = Person{"globex", "gina", "owner"}
	Gabe   = Person{"globex", "gabe", "member"}
)

// Everybody lists the people of a tenant.
func Everybody(tenant string) (people []Person) {
	for _, p := range []Person{Olivia, Adam, Mia, Victor, Gina, Gabe} {
		if p.Tenant == tenant {
			people = append(people, p)
		}
	}
	return people
}

// Provider is an organisation's OpenID Connect provider: npm oidc-provider, a process of its own.
type Provider struct {
	*Process
	Tenant, Issuer, Secret string
}

// StartProvider starts the provider of a tenant on an address of its own, since browsers
// share cookies between ports.
func StartProvider(t testing.TB, tenant, host string, redirects ...string) *Provider {
	t.Helper()
	dir := filepath.Join(Root(), "idp")
	Needs(t, filepath.Join(dir, "node_modules", "oidc-provider"))
	users := map[string]any{}
	for _, p := range Everybody(tenant) {
		users[p.Name] = map[string]any{"password": p.Password(), "email": p.Email(), "email_verified": true, "name": strings.ToUpper(p.Name[:1]) + p.Name[1:], "groups": []string{p.Role}}
	}
	people, err := json.Marshal(users)
	if err != nil {
		t.Fatal(err)
	}
	back, err := json.Marshal(redirects)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{Tenant: tenant, Secret: rand.Text() + rand.Text(), Issuer: fmt.Sprintf("http://%s:%d", host, Port(t, host))}
	cmd := exec.Command(Tool(t, filepath.Join(dir, "node_modules", ".bin", "node"), "node"), "provider.mjs")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "ISSUER="+p.Issuer, "CLIENT_SECRET="+p.Secret, "REDIRECT_URIS="+string(back), "USERS="+string(people))
	p.Process = Start(t, "the provider of "+tenant, cmd)
	p.Listening(t, strings.TrimPrefix(p.Issuer, "http://"))
	return p
}
