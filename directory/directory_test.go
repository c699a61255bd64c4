package directory

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

func problems(c Config) (found, warned []string) {
	c.Check(func(path, _, hint string) {
		found = append(found, path)
		if hint == "" {
			found = append(found, path+": no hint")
		}
	}, func(path, _, _ string) { warned = append(warned, path) })
	return found, warned
}

func TestCheckFindsAllProblems(t *testing.T) {
	c := Config{Tenants: []Tenant{
		{ID: "acme", Domains: []string{"acme.example", "gmail.com", "acme.example"}},
		{ID: "Acme"},
		{ID: "acme", Domains: []string{"acme.example"}},
		{ID: "globex", Name: "Glo\x00bex", Domains: []string{"Globex.example", "localhost", "-a.example", "a..example", "user@globex.example", ""}},
		{ID: ""},
	}}
	found, warned := problems(c)
	want := []string{
		"tenants[0].domains[2]", "tenants[1].id", "tenants[2].id", "tenants[2].domains[0]", "tenants[3].name",
		"tenants[3].domains[0]", "tenants[3].domains[1]", "tenants[3].domains[2]", "tenants[3].domains[3]", "tenants[3].domains[4]", "tenants[3].domains[5]", "tenants[4].id",
	}
	if !slices.Equal(found, want) {
		t.Errorf("problems at\n%v, want\n%v", found, want)
	}
	if !slices.Equal(warned, []string{"tenants[0].domains[1]"}) {
		t.Errorf("warnings at %v", warned)
	}
	if _, err := New(c); err == nil {
		t.Error("New accepts it")
	}
}

func TestCheckBoundsCounts(t *testing.T) {
	if found, _ := problems(Config{Tenants: make([]Tenant, MaxTenants+1)}); !slices.Equal(found, []string{"tenants"}) {
		t.Errorf("too many tenants: %v", found)
	}
	if found, _ := problems(Config{Tenants: []Tenant{{ID: "a", Domains: make([]string, MaxDomains+1)}}}); !slices.Equal(found, []string{"tenants[0].domains"}) {
		t.Errorf("too many domains: %v", found)
	}
}

func TestLookups(t *testing.T) {
	d, err := New(Config{Tenants: []Tenant{
		{ID: "globex", Name: "Globex Inc.", Domains: []string{"globex.example", "kiln.example"}},
		{ID: "acme", Domains: []string{"acme.example"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ domain, want string }{
		{"acme.example", "acme"},
		{"ACME.Example", "acme"},
		{"globex.example", "globex"},
		{"sub.acme.example", ""},
		{"acme.example.", ""},
		{"evil-acme.example", ""},
		{"acme.example.evil.test", ""},
		{"\u212Ailn.example", ""}, // the Kelvin sign folds to k in Unicode
		{"", ""},
		{strings.Repeat("a", 300), ""},
	} {
		if got, ok := d.ByDomain(c.domain); got.String() != c.want || ok != (c.want != "") {
			t.Errorf("ByDomain(%q) = %q, %v; want %q", c.domain, got, ok, c.want)
		}
	}
	id, _ := access.ParseTenantID("acme")
	if o, ok := d.Tenant(id); !ok || o.Name != "acme" || o.ID != id {
		t.Errorf("Tenant(acme) = %+v, %v", o, ok)
	}
	if got := d.TenantName(d.Tenants()[1].ID); got != "Globex Inc." || d.TenantName(access.TenantID{}) != "" {
		t.Errorf("TenantName gives %q", got)
	}
	if _, ok := d.Tenant(access.TenantID{}); ok {
		t.Error("the zero id is somebody's")
	}
	if all := d.Tenants(); len(all) != 2 || all[0].ID.String() != "acme" || all[1].Name != "Globex Inc." {
		t.Errorf("Tenants() = %+v", all)
	}
}
