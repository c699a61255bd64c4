package oidc

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/secret"
)

func good() Settings {
	return Settings{Name: "acme-sso", Tenant: "acme", Issuer: "https://idp.acme.example", ClientID: "gw", Roles: Roles{Default: "viewer"}}
}

func check(c Config) (found, warned []string) {
	c.Check(func(path, what, hint string) {
		if what == "" || hint == "" {
			path += " without words"
		}
		found = append(found, path)
	}, func(path, _, _ string) { warned = append(warned, path) })
	return found, warned
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name       string
		change     func(*Settings)
		want, warn []string
	}{
		{"nothing is wrong", func(*Settings) {}, nil, nil},
		{"no name", func(s *Settings) { s.Name = "" }, []string{"[0].name"}, nil},
		{"a name in capitals", func(s *Settings) { s.Name = "Acme" }, []string{"[0].name"}, nil},
		{"a name with a slash", func(s *Settings) { s.Name = "a/../b" }, []string{"[0].name"}, nil},
		{"no tenant", func(s *Settings) { s.Tenant = "" }, []string{"[0].tenant"}, nil},
		{"no client id", func(s *Settings) { s.ClientID = "" }, []string{"[0].client_id"}, nil},
		{"a scope with a blank", func(s *Settings) { s.Scopes = []string{"a b"} }, []string{"[0].scopes"}, nil},
		{"no issuer", func(s *Settings) { s.Issuer = "" }, []string{"[0].issuer"}, nil},
		{"an issuer in clear", func(s *Settings) { s.Issuer = "http://idp.example" }, []string{"[0].issuer"}, nil},
		{"an issuer with a query", func(s *Settings) { s.Issuer += "?x" }, []string{"[0].issuer"}, nil},
		{"an issuer with a password", func(s *Settings) { s.Issuer = "https://u:p@idp.example" }, []string{"[0].issuer"}, nil},
		{"an issuer on loopback", func(s *Settings) { s.Issuer = "http://127.0.0.1:9420" }, nil, []string{"[0].issuer"}},
		{"everybody's Entra", func(s *Settings) { s.Issuer = "https://login.microsoftonline.com/common/v2.0" }, []string{"[0].issuer"}, nil},
		{"one directory's Entra", func(s *Settings) {
			s.Issuer = "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"
		}, nil, nil},
		{"the e-mail address as subject", func(s *Settings) { s.Claims.Subject = "email" }, []string{"[0].claims.subject"}, nil},
		{"nobody gets a role", func(s *Settings) { s.Roles = Roles{} }, []string{"[0].roles"}, nil},
		{"the operator's role", func(s *Settings) { s.Roles.Map = map[string]string{"g": "operator"} }, []string{"[0].roles.map.g"}, nil},
		{"a platform role by default", func(s *Settings) { s.Roles.Default = "platform-admin" }, []string{"[0].roles.default"}, nil},
		{"a role with a comma", func(s *Settings) { s.Roles.Default = "viewer,owner" }, []string{"[0].roles.default"}, nil},
		{"owner by default", func(s *Settings) { s.Roles.Default = "owner" }, nil, []string{"[0].roles.default"}},
		{"trust in an address", func(s *Settings) { s.TrustEmail = []string{"acme.example", "a@acme.example", "*.example"} }, []string{"[0].trust_email[1]", "[0].trust_email[2]"}, nil},
		{"a relative path", func(s *Settings) { s.CA = "ca.pem" }, []string{"[0].ca"}, nil},
		{"everything is allowed", func(s *Settings) { s.Allow = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} }, nil, []string{"[0].allow[0]"}},
		{"many things at once", func(s *Settings) { *s = Settings{Label: "a\nb"} },
			[]string{"[0].name", "[0].label", "[0].tenant", "[0].client_id", "[0].issuer", "[0].roles"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good()
			c.change(&s)
			found, warned := check(Config{s})
			if !slices.Equal(found, c.want) || !slices.Equal(warned, c.warn) {
				t.Errorf("problems %v, want %v; warnings %v, want %v", found, c.want, warned, c.warn)
			}
		})
	}
	if found, _ := check(Config{good(), good()}); !slices.Equal(found, []string{"[1].name"}) {
		t.Errorf("one name twice: %v", found)
	}
	if found, _ := check(make(Config, MaxProviders+1)); len(found) != 1 {
		t.Errorf("too many: %d problems", len(found))
	}
}

func TestDefaults(t *testing.T) {
	s := Config{{Name: "x", Scopes: []string{"email"}}}.WithDefaults()[0]
	if !slices.Equal(s.Scopes, []string{"openid", "email"}) || s.Label != "x" || s.Claims != (Claims{"sub", "email", "name", "groups"}) || s.Roles.Claim != "groups" {
		t.Errorf("got %+v", s)
	}
}

func TestBuildGivesAllErrorsAtOnceAndNoSecret(t *testing.T) {
	rt, err := NewRuntime(Options{Sealer: secret.NewMasterKey().Sealer("x")})
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing, badCA := good(), good()
	missing.ClientSecret, err = secret.ParseRef("env:SALLYPORT_TEST_NOT_SET")
	if err != nil {
		t.Fatal(err)
	}
	badCA.Name, badCA.CA = "other", empty
	set, err := rt.Build(Config{missing, badCA}, domainMap{})
	if err == nil || set != nil || !strings.Contains(err.Error(), "client_secret") || !strings.Contains(err.Error(), "ca:") {
		t.Errorf("got %v", err)
	}
	if _, err := rt.Build(Config{{}}, domainMap{}); err == nil {
		t.Error("a configuration with problems is built")
	}
	if _, err := rt.Build(Config{good()}, nil); err == nil {
		t.Error("it is built without a directory")
	}
	if set, err := rt.Build(nil, domainMap{}); err != nil || len(set.Offers("crm")) != 0 {
		t.Errorf("no providers: %v", err)
	}
	if _, err := NewRuntime(Options{}); err == nil {
		t.Error("a Runtime without a sealer is made")
	}
}
