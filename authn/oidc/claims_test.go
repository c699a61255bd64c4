package oidc

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

func tenant(t *testing.T, s string) access.TenantID {
	t.Helper()
	id, err := access.ParseTenantID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestSubjectIsBoundToTenantIssuerAndSubject(t *testing.T) {
	acme := tenant(t, "acme")
	base := subjectID(acme, "https://idp.example", "alice")
	// Pinned: a change would make every user somebody else.
	if want := "uzyuvjbwsto6ozkm5lo64ngi5i"; base != want {
		t.Errorf("got %q, want %q", base, want)
	}
	for name, other := range map[string]string{
		"another tenant":                subjectID(tenant(t, "globex"), "https://idp.example", "alice"),
		"another issuer":                subjectID(acme, "https://idp2.example", "alice"),
		"another subject":               subjectID(acme, "https://idp.example", "bob"),
		"another case":                  subjectID(acme, "https://idp.example", "Alice"),
		"the border between them moved": subjectID(acme, "https://idp.examplea", "lice"),
	} {
		if other == base {
			t.Errorf("%s gives the same id", name)
		}
	}
}

func rawClaims(t *testing.T, claims map[string]any) map[string]json.RawMessage {
	t.Helper()
	out := map[string]json.RawMessage{}
	for k, v := range claims {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out[k] = b
	}
	return out
}

func testProvider(t *testing.T, s Settings) *provider {
	t.Helper()
	s.Name, s.Issuer = "acme-sso", "https://idp.example"
	return &provider{Settings: Config{s}.WithDefaults()[0], tenant: tenant(t, "acme")}
}

func TestEmailIsGivenOnlyWhenTheProviderCanVouchForIt(t *testing.T) {
	type m = map[string]any
	for _, c := range []struct {
		name   string
		claims m
		trust  []string
		want   string
	}{
		{"verified", m{"email": "alice@acme.test", "email_verified": true}, nil, "alice@acme.test"},
		{"verified by the text true", m{"email": "alice@acme.test", "email_verified": "true"}, nil, "alice@acme.test"},
		{"verified, of nobody's domain", m{"email": "alice@else.test", "email_verified": true}, nil, "alice@else.test"},
		{"not verified", m{"email": "alice@acme.test", "email_verified": false}, nil, ""},
		{"nothing said", m{"email": "alice@acme.test"}, nil, ""},
		{"verified is null", m{"email": "alice@acme.test", "email_verified": nil}, nil, ""},
		{"verified is 1", m{"email": "alice@acme.test", "email_verified": 1}, nil, ""},
		{"nothing said, of a trusted domain", m{"email": "alice@acme.test"}, []string{"acme.test"}, "alice@acme.test"},
		{"of a trusted domain in another case", m{"email": "alice@ACME.test"}, []string{"acme.test"}, "alice@acme.test"},
		{"of a subdomain of the trusted one", m{"email": "alice@x.acme.test"}, []string{"acme.test"}, ""},
		{"of another tenant's domain", m{"email": "bob@globex.test", "email_verified": true}, nil, ""},
		{"of another tenant's domain, trusted by mistake", m{"email": "bob@globex.test", "email_verified": true}, []string{"globex.test"}, ""},
		{"of another tenant's domain in another case", m{"email": "bob@GLOBEX.test", "email_verified": true}, nil, ""},
		{"two at signs", m{"email": "a@globex.test@else.test", "email_verified": true}, nil, ""},
		{"a line break", m{"email": "a@else.test\r\nX-Tenant-ID: globex", "email_verified": true}, nil, ""},
		{"a comma", m{"email": "a,b@else.test", "email_verified": true}, nil, ""},
		{"a quoted local part", m{"email": `"a b"@else.test`, "email_verified": true}, nil, ""},
		{"a domain that only looks like it", m{"email": "a@аcme.test", "email_verified": true}, nil, ""},
		{"no domain", m{"email": "alice", "email_verified": true}, nil, ""},
		{"no text", m{"email": m{"a": 1}, "email_verified": true}, nil, ""},
		{"endless", m{"email": strings.Repeat("a", 250) + "@else.test", "email_verified": true}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := testProvider(t, Settings{TrustEmail: c.trust, Roles: Roles{Default: "viewer"}})
			c.claims["sub"] = "alice"
			login, err := p.person(&proof{claims: rawClaims(t, c.claims)}, domainMap{"acme.test": "acme", "globex.test": "globex"})
			if err != nil {
				t.Fatal(err)
			}
			if login.Email != c.want {
				t.Errorf("e-mail %q, want %q", login.Email, c.want)
			}
			if want := subjectID(p.tenant, p.Issuer, "alice"); login.Subject != want || login.Tenant != p.tenant {
				t.Errorf("the e-mail changes who it is: %+v", login)
			}
		})
	}
}

func TestRolesComeFromTheMapAlone(t *testing.T) {
	type m = map[string]any
	for _, c := range []struct {
		name   string
		roles  Roles
		claims m
		want   []string // nil: refused for having none
	}{
		{"a listed group", Roles{Map: map[string]string{"g": "admin"}}, m{"groups": []string{"x", "g"}}, []string{"admin"}},
		{"one group as a text", Roles{Map: map[string]string{"g": "admin"}}, m{"groups": "g"}, []string{"admin"}},
		{"two groups for one role", Roles{Map: map[string]string{"g": "admin", "h": "admin", "i": "member"}}, m{"groups": []string{"i", "h", "g"}}, []string{"admin", "member"}},
		{"a group that is called like a role", Roles{Map: map[string]string{"g": "member"}}, m{"groups": []string{"owner", "admin", "platform-admin", "operator"}}, nil},
		{"a group in another case", Roles{Map: map[string]string{"g": "admin"}}, m{"groups": []string{"G"}}, nil},
		{"no groups at all", Roles{Map: map[string]string{"g": "admin"}}, m{}, nil},
		{"groups are null", Roles{Map: map[string]string{"g": "admin"}}, m{"groups": nil}, nil},
		{"no groups and a default", Roles{Map: map[string]string{"g": "admin"}, Default: "viewer"}, m{}, []string{"viewer"}},
		{"a group and a default", Roles{Map: map[string]string{"g": "admin"}, Default: "viewer"}, m{"groups": "g"}, []string{"admin"}},
		{"a claim within a claim", Roles{Claim: "realm_access.roles", Map: map[string]string{"g": "admin"}}, m{"realm_access": m{"roles": []string{"g"}}}, []string{"admin"}},
		{"a claim whose name has dots", Roles{Claim: "https://acme.test/roles", Map: map[string]string{"g": "admin"}}, m{"https://acme.test/roles": []string{"g"}}, []string{"admin"}},
		{"a roles claim that the map does not read", Roles{Map: map[string]string{"g": "admin"}}, m{"roles": []string{"g", "admin"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := testProvider(t, Settings{Roles: c.roles})
			c.claims["sub"] = "alice"
			login, err := p.person(&proof{claims: rawClaims(t, c.claims)}, domainMap{})
			if c.want == nil {
				if codeOf(err) != "no_role" {
					t.Errorf("got %v, %v; want no_role", login.Roles, err)
				}
				return
			}
			if err != nil || !slices.Equal(login.Roles, c.want) {
				t.Errorf("got %v, %v; want %v", login.Roles, err, c.want)
			}
		})
	}
}

func TestNamesAreCleaned(t *testing.T) {
	for in, want := range map[string]string{
		"Alice Ames":                  "Alice Ames",
		" a\r\nb\x00\x1b[31m\u202ec ": "ab[31mc",
		"Zoë 李":                       "Zoë 李",
		"\xff\xfea":                   "a",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := clean(strings.Repeat("é", 300)); len(got) > maxText || strings.Contains(got, "\uFFFD") {
		t.Errorf("a long name keeps %d bytes", len(got))
	}
}

func TestOtherSubjectClaim(t *testing.T) {
	p := testProvider(t, Settings{Claims: Claims{Subject: "oid"}, Roles: Roles{Default: "viewer"}})
	login, err := p.person(&proof{claims: rawClaims(t, map[string]any{"sub": "pairwise", "oid": "object"})}, domainMap{})
	if err != nil || login.Subject != subjectID(p.tenant, p.Issuer, "object") {
		t.Errorf("got %+v, %v", login, err)
	}
	for _, oid := range []any{nil, "", 7, strings.Repeat("x", 256)} {
		if _, err := p.person(&proof{claims: rawClaims(t, map[string]any{"sub": "pairwise", "oid": oid})}, domainMap{}); codeOf(err) != "login_invalid" {
			t.Errorf("oid %v: %v", fmt.Sprint(oid), err)
		}
	}
}
