package access

import (
	"strings"
	"testing"
)

func TestNamesThatABackendCouldConfuseFoldToOne(t *testing.T) {
	for _, name := range []string{"tenant-id", "tenant_id", "Tenant.ID", "TENANT ID", "tenant[id", "tenant_ıd", "TENANT_İD"} {
		if got := FoldName(name); got != "tenant-id" {
			t.Errorf("FoldName(%q) = %q", name, got)
		}
	}
	for name, want := range map[string]string{"ſtage": "stage", "\u212aey": "key", "": "", "é": "--", "\xff": "---"} {
		if got := FoldName(name); got != want {
			t.Errorf("FoldName(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestAGuardedNameIsFoundInEverySpelling(t *testing.T) {
	g := GuardNames([]string{"tenant_id", "org"})
	for _, c := range []struct {
		name, hit string
		composite bool
	}{
		{"tenant_id", "tenant-id", false},
		{"Tenant-Id", "tenant-id", false},
		{"tenant.id", "tenant-id", false},
		{"tenant id", "tenant-id", false},
		{"tenant[id", "tenant-id", false},
		{" tenant_id", "tenant-id", false},
		{"tenant_id ", "tenant-id", false},
		{"\ttenant_id", "tenant-id", false},
		{"tenant_ıd", "tenant-id", false},
		{"tenant%5Fid", "tenant-id", false},
		{"tenant_id[]", "tenant-id", false},
		{"tenant.id[]", "tenant-id", false},
		{"tenant_id[$ne]", "tenant-id", true},
		{"tenant.id[x]", "tenant-id", true},
		{"tenant_id[][x]", "tenant-id", true},
		{"tenant_id.x", "tenant-id", true},
		{"tenant_id!", "tenant-id", true},
		{"tenant_id:eq", "tenant-id", true},
		{"tenant_id__in", "tenant-id", true},
		{"tenant_id\u200b", "tenant-id", true},
		{"filter[tenant_id]", "filter-tenant-id", false},
		{"filter[tenant_id][$ne]", "filter-tenant-id", true},
		{"filter.tenant_id", "filter-tenant-id", false},
		{"a[b][ tenant_id ][]", "a-b---tenant-id", false},
		{"contact__tenant_id", "contact--tenant-id", false},
		{"org", "org", false},
		{"x[org]", "x-org", false},
		{"tenant_identity", "", false},
		{"my_tenant_id", "", false},
		{"tenant_id_eq", "", false},
		{"organisation", "", false},
		{"forge", "", false},
		{"", "", false},
		{"%", "", false},
	} {
		if hit, composite := g.Find(c.name); hit != c.hit || composite != c.composite {
			t.Errorf("%q: %q, %v; want %q, %v", c.name, hit, composite, c.hit, c.composite)
		}
	}
	for _, none := range []GuardedNames{{}, GuardNames(nil), GuardNames([]string{"", "__"})} {
		if hit, _ := none.Find("tenant_id"); hit != "" {
			t.Errorf("a guard of nothing found %q", hit)
		}
	}
}

// FuzzGuardedNames: whatever stands around a guarded name in brackets, it is found.
func FuzzGuardedNames(f *testing.F) {
	for _, seed := range []string{"", "a", "[", "é", "%", "\xff", "tenant_i"} {
		f.Add(seed, seed)
	}
	g := GuardNames([]string{"tenant_id"})
	f.Fuzz(func(t *testing.T, before, behind string) {
		name := before + "[tenant_id]" + behind
		if hit, composite := g.Find(name); hit == "" || strings.ContainsAny(behind, "abcdefghijklmnopqrstuvwxyz0123456789") && !composite {
			t.Errorf("%q: %q, %v", name, hit, composite)
		}
	})
}
