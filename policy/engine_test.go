package policy

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/units"
)

func tenant(t testing.TB, id string) access.TenantID {
	t.Helper()
	tenant, err := access.ParseTenantID(id)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func exchange(t testing.TB, class access.Class, resource, action string, roles ...string) *access.Exchange {
	ex := &access.Exchange{
		Request: &http.Request{Method: http.MethodPost},
		Client:  access.Client{Addr: netip.MustParseAddr("192.0.2.1")},
		Target:  access.Target{Path: "/api/" + resource + "/7"},
		Site:    &access.Site{Name: "crm"},
		Route: access.Route{Class: class, Pattern: "/api/" + resource + "/{id}", Resource: resource, ID: "7",
			Action: action, ReadOnly: access.Reads(action)},
		Identity: &access.Identity{Subject: "ann", Email: "ann@acme.example", Tenant: tenant(t, "acme"), Roles: roles, AMR: []string{"pwd"}},
	}
	return ex
}

func newEngine(t testing.TB, cfg Config) *Engine {
	t.Helper()
	cfg.Deadline = units.Span(5 * time.Second) // a slow machine is not what is tested here
	e, err := New(t.Context(), cfg, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// actions are asked for in every line of the matrix, by their letters. "merge" stands
// for actions that the file names.
var actions = []struct{ letter, action string }{
	{"r", access.ActionRead}, {"c", access.ActionCreate}, {"u", access.ActionUpdate}, {"d", access.ActionDelete},
	{"m", "merge"}, {"?", access.ActionUnknown},
}

func TestEveryRoleInEveryArea(t *testing.T) {
	e := newEngine(t, Config{Areas: map[string]string{"invoice": "billing", "team": "users"}})
	// What a role may do, and otherwise the reasons against it.
	for _, line := range []struct {
		role, resource, area string
		may                  string
	}{
		{"owner", "contact", "records", "rcudm?"},
		{"owner", "sequence", "sequences", "rcudm?"},
		{"owner", "webhook", "integrations", "rcudm?"},
		{"owner", "user", "users", "rcudm?"},
		{"owner", "team", "users", "rcudm?"},
		{"owner", "settings", "settings", "rcudm?"},
		{"owner", "subscription", "billing", "rcudm?"},
		{"owner", "invoice", "billing", "rcudm?"},
		{"owner", access.OtherResource, "other", "rcudm?"},
		{"owner", "", "", ""},

		{"admin", "contact", "records", "rcudm?"},
		{"admin", "sequence", "sequences", "rcudm?"},
		{"admin", "webhook", "integrations", "rcudm?"},
		{"admin", "user", "users", "rcudm?"},
		{"admin", "team", "users", "rcudm?"},
		{"admin", "settings", "settings", "r"},
		{"admin", "subscription", "billing", ""},
		{"admin", "invoice", "billing", ""},
		{"admin", access.OtherResource, "other", "rcudm?"},

		{"member", "contact", "records", "rcu"},
		{"member", "anything_the_file_names", "records", "rcu"},
		{"member", "sequence", "sequences", "rcu"},
		{"member", "webhook", "integrations", ""},
		{"member", "user", "users", ""},
		{"member", "team", "users", ""},
		{"member", "settings", "settings", ""},
		{"member", "subscription", "billing", ""},
		{"member", "invoice", "billing", ""},
		{"member", access.OtherResource, "other", "r"},

		{"viewer", "contact", "records", "r"},
		{"viewer", "sequence", "sequences", "r"},
		{"viewer", "webhook", "integrations", ""},
		{"viewer", "user", "users", ""},
		{"viewer", "team", "users", ""},
		{"viewer", "settings", "settings", ""},
		{"viewer", "subscription", "billing", ""},
		{"viewer", "invoice", "billing", ""},
		{"viewer", access.OtherResource, "other", "r"},

		{"guest", "contact", "records", ""},
		{"guest", access.OtherResource, "other", ""},
		{"", "contact", "records", ""},
	} {
		if got := areaOf(e.areas, line.resource); got != line.area {
			t.Errorf("%q is in the area %q, want %q", line.resource, got, line.area)
		}
		for _, a := range actions {
			d, err := e.Authorize(t.Context(), exchange(t, access.App, line.resource, a.action, line.role))
			if err != nil {
				t.Fatalf("%s %s %s: %v", line.role, a.action, line.resource, err)
			}
			want := access.Decision{Allow: true, Rule: "role." + line.role, Revision: e.Revision()}
			if !strings.Contains(line.may, a.letter) {
				want = access.Decision{Rule: "role_lacks_permission", Revision: e.Revision()}
				want.Reasons = append(want.Reasons, access.Reason{ID: "role_lacks_permission",
					Text: `None of the user's roles may do "` + a.action + `" on "` + line.resource + `" (area "` + line.area + `").`})
				if line.role == "guest" || line.role == "" {
					want.Reasons = append(want.Reasons, access.Reason{ID: "role_missing", Text: "The user has no role that this policy knows."})
				}
			}
			if d.Allow != want.Allow || d.Rule != want.Rule || d.Revision != want.Revision || !slices.Equal(d.Reasons, want.Reasons) {
				t.Errorf("%s may %s %s: got %+v, want %+v", line.role, a.action, line.resource, d, want)
			}
		}
	}
}

func TestAuthorizeOutsideTheMatrix(t *testing.T) {
	e := newEngine(t, Config{})
	for _, c := range []struct {
		name  string
		ex    func(t *testing.T) *access.Exchange
		allow bool
		rule  string
	}{
		{"roles unite", func(t *testing.T) *access.Exchange {
			return exchange(t, access.App, "user", access.ActionDelete, "viewer", "admin")
		}, true, "role.admin"},
		{"of several roles that grant, the first by name is named", func(t *testing.T) *access.Exchange {
			return exchange(t, access.App, "contact", access.ActionRead, "viewer", "owner", "member")
		}, true, "role.member"},
		{"an operator's other roles do not open the application", func(t *testing.T) *access.Exchange {
			return exchange(t, access.App, "contact", access.ActionRead, "owner", "operator")
		}, false, "operator_confined"},
		{"nor the console", func(t *testing.T) *access.Exchange {
			return exchange(t, access.Console, "sallyport", "audit", "owner", "operator")
		}, false, "operator_confined"},
		{"an operator reaches the operator pages", func(t *testing.T) *access.Exchange {
			return exchange(t, access.Operator, "tenant", access.ActionCreate, "operator")
		}, true, "role.operator"},
		{"an owner does not", func(t *testing.T) *access.Exchange {
			return exchange(t, access.Operator, "tenant", access.ActionRead, "owner")
		}, false, "operator_role_required"},
		{"an owner reaches the console", func(t *testing.T) *access.Exchange {
			return exchange(t, access.Console, "sallyport", "settings", "owner")
		}, true, "role.owner"},
		{"an admin reaches the console", func(t *testing.T) *access.Exchange {
			return exchange(t, access.Console, "sallyport", "settings", "admin")
		}, true, "role.admin"},
		{"a member does not", func(t *testing.T) *access.Exchange {
			return exchange(t, access.Console, "sallyport", access.ActionRead, "member")
		}, false, "console_role_required"},
		{"a read that may change something is no read", func(t *testing.T) *access.Exchange {
			ex := exchange(t, access.App, "contact", access.ActionRead, "viewer")
			ex.Route.ReadOnly = false
			return ex
		}, false, "role_lacks_permission"},
		{"a stranger", func(t *testing.T) *access.Exchange {
			ex := exchange(t, access.App, "contact", access.ActionRead)
			ex.Identity = nil
			return ex
		}, false, "not_authenticated"},
		{"an identity without a tenant", func(t *testing.T) *access.Exchange {
			ex := exchange(t, access.App, "contact", access.ActionRead, "owner")
			ex.Identity.Tenant = access.TenantID{}
			return ex
		}, false, "tenant_missing"},
		{"public routes are not policy's", func(t *testing.T) *access.Exchange {
			return exchange(t, access.Public, "asset", access.ActionRead, "owner")
		}, false, "class_not_served"},
		{"the zero exchange", func(*testing.T) *access.Exchange { return new(access.Exchange) }, false, "not_authenticated"},
		{"the zero route", func(t *testing.T) *access.Exchange {
			ex := exchange(t, access.App, "contact", access.ActionRead, "owner")
			ex.Route = access.Route{}
			return ex
		}, false, "class_not_served"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := e.Authorize(t.Context(), c.ex(t))
			if err != nil {
				t.Fatal(err)
			}
			if d.Allow != c.allow || d.Rule != c.rule || (len(d.Reasons) == 0) != c.allow {
				t.Errorf("got %+v, want allow %v by %q", d, c.allow, c.rule)
			}
		})
	}
}

// policyOf is a module that answers every question with one document.
func policyOf(body string) map[string]string {
	return map[string]string{"broken.rego": "package sallyport.authz\n\n" + body + "\n"}
}

func TestAuthorizeFailsClosed(t *testing.T) {
	const yes = `{"allow": true, "rule": "r", "reasons": []}`
	for _, c := range []struct {
		name, body, cause string
	}{
		{"nothing defined", `other := true`, "want one result, got 0"},
		{"undefined", `decision := ` + yes + ` if input.action == "nonsense"`, "want one result, got 0"},
		{"an empty object", `decision := {}`, "want exactly"},
		{"the text true", `decision := "true"`, "want an object"},
		{"the boolean true", `decision := true`, "want an object"},
		{"null", `decision := null`, "want an object"},
		{"a set of yes", `decision contains ` + yes, "want an object"},
		{"allow as text", `decision := {"allow": "true", "rule": "r", "reasons": []}`, "want exactly"},
		{"allow as a number", `decision := {"allow": 1, "rule": "r", "reasons": []}`, "want exactly"},
		{"no rule", `decision := {"allow": true, "reasons": []}`, "want exactly"},
		{"an empty rule", `decision := {"allow": true, "rule": "", "reasons": []}`, "no name"},
		{"no reasons", `decision := {"allow": true, "rule": "r"}`, "want exactly"},
		{"a condition that this version does not know", `decision := {"allow": true, "rule": "r", "reasons": [], "obligations": ["mfa"]}`, "want exactly"},
		{"a yes with reasons against it", `decision := {"allow": true, "rule": "r", "reasons": [{"id": "a", "text": "b"}]}`, "reasons against it"},
		{"a reason without text", `decision := {"allow": false, "rule": "r", "reasons": [{"id": "a"}]}`, "a reason wants"},
		{"a reason that is a text", `decision := {"allow": false, "rule": "r", "reasons": ["a"]}`, "a reason wants"},
		{"reasons without end", `decision := {"allow": false, "rule": "r", "reasons": [{"id": sprintf("%d", [n]), "text": "t"} | some n in numbers.range(1, 100)]}`, "100 reasons"},
		{"a conflict", "decision := " + yes + " if input.class == \"app\"\n\ndecision := {\"allow\": false, \"rule\": \"s\", \"reasons\": []} if input.mutating", "conflict"},
		{"an error in a built-in function", `decision := ` + yes + ` if not net.cidr_contains("10.0.0.0/8", input.path)`, "cidr"},
		{"a division by zero", `decision := ` + yes + ` if not 1 / (count(input.user.roles) - 1) == 7`, "divide by zero"},
		{"an evaluation without end", "decision := " + yes + " if {\n\tns := numbers.range(1, 100000)\n\tsome a in ns\n\tsome b in ns\n\ta * b == -1\n}", "deadline"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := build(t.Context(), Config{Deadline: 50_000_000}, Deps{}, policyOf(c.body))
			if err != nil {
				t.Fatal(err)
			}
			d, err := e.Authorize(t.Context(), exchange(t, access.App, "contact", access.ActionUpdate, "owner"))
			if d.Allow || d.Rule != "policy_error" || d.Revision != e.Revision() {
				t.Errorf("decision %+v, want a no by policy_error", d)
			}
			if err == nil || !strings.Contains(err.Error(), c.cause) {
				t.Errorf("error %v, want one that says %q", err, c.cause)
			}
		})
	}
	t.Run("the same seam does say yes", func(t *testing.T) { // or the table above proves nothing
		e, err := build(t.Context(), Config{}, Deps{}, policyOf("decision := "+yes))
		if err != nil {
			t.Fatal(err)
		}
		if d, err := e.Authorize(t.Context(), exchange(t, access.App, "contact", access.ActionUpdate)); err != nil || !d.Allow {
			t.Errorf("%+v, %v", d, err)
		}
	})
}

func TestAuthorizeTurnsAPanicIntoANo(t *testing.T) {
	e := newEngine(t, Config{})
	d, err := e.Authorize(t.Context(), nil)
	if d.Allow || err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("%+v, %v; want a no with an error that says so", d, err)
	}
}

func TestAuthorizeDeniesWhenTheClientHasGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d, err := newEngine(t, Config{}).Authorize(ctx, exchange(t, access.App, "contact", access.ActionRead, "owner"))
	if d.Allow || err == nil {
		t.Errorf("%+v, %v; want a no with an error", d, err)
	}
}

func TestZeroEngineDenies(t *testing.T) {
	for _, e := range []*Engine{nil, {}} {
		d, err := e.Authorize(t.Context(), exchange(t, access.App, "contact", access.ActionRead, "owner"))
		if d.Allow || err == nil || e.Revision() != "" {
			t.Errorf("%+v, %v, revision %q; want a no with an error", d, err, e.Revision())
		}
	}
}

func TestSelfCheckRefusesABrokenPolicy(t *testing.T) {
	for _, c := range []struct{ name, body, cause string }{
		{"one that allows all", `decision := {"allow": true, "rule": "r", "reasons": []}`, "allows a viewer"},
		{"one that forbids all", `decision := {"allow": false, "rule": "r", "reasons": [{"id": "a", "text": "b"}]}`, "forbids an owner"},
		{"one that decides nothing", `other := true`, "may an owner read"},
		{"one that fails on writes", `decision := {"allow": true, "rule": "r", "reasons": []} if not input.mutating`, "may a viewer write"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := newFrom(t.Context(), Config{}, Deps{}, policyOf(c.body))
			if e != nil || err == nil || !strings.Contains(err.Error(), c.cause) {
				t.Errorf("engine %v, error %v, want none and one that says %q", e, err, c.cause)
			}
		})
	}
}

func TestBrokenModulesDoNotCompile(t *testing.T) {
	for name, body := range map[string]string{
		"a syntax error":     `decision := {`,
		"an unknown name":    `decision := nonsense`,
		"an unused variable": "decision := true if {\n\tx := 1\n}",
		"a type error":       `decision := true if "a" + 1 == 2`,
	} {
		if _, err := build(t.Context(), Config{}, Deps{}, policyOf(body)); err == nil {
			t.Errorf("%s compiles", name)
		}
	}
}

func TestRevisionNamesWhatDecides(t *testing.T) {
	one, same := newEngine(t, Config{}), newEngine(t, Config{})
	if one.Revision() != same.Revision() || len(one.Revision()) != 16 {
		t.Errorf("revisions %q and %q of the same policy, want 16 equal digits", one.Revision(), same.Revision())
	}
	if other := newEngine(t, Config{Areas: map[string]string{"invoice": "billing"}}); other.Revision() == one.Revision() {
		t.Error("other areas, same revision")
	}
	if revision(map[string]string{"a": "bc"}, nil) == revision(map[string]string{"ab": "c"}, nil) {
		t.Error("a module's name and text run together")
	}
	if revision(map[string]string{"a": "b"}, nil) == revision(nil, map[string]string{"a": "b"}) {
		t.Error("modules and areas run together")
	}
}

// counts remembers the label values that a counter was given.
type counts struct {
	observe.Discard
	mu   sync.Mutex
	seen []string
}

func (c *counts) Counter(string, string, ...string) observe.Counter { return c }
func (c *counts) Add(_ float64, values ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, values...)
}

func TestDecisionsAreCountedByResult(t *testing.T) {
	m := new(counts)
	e, err := New(t.Context(), Config{Deadline: maxDeadline}, Deps{Meter: m})
	if err != nil {
		t.Fatal(err)
	}
	e.Authorize(t.Context(), exchange(t, access.App, "contact", access.ActionRead, "viewer"))
	e.Authorize(t.Context(), exchange(t, access.App, "contact", access.ActionUpdate, "viewer"))
	e.Authorize(t.Context(), nil)
	if want := []string{"allow", "deny", "error"}; !slices.Equal(m.seen, want) {
		t.Errorf("counted %v, want %v (and not the self-check)", m.seen, want)
	}
}

func TestOneSessionMayDecideManyThingsAtOnce(t *testing.T) {
	e := newEngine(t, Config{})
	id := exchange(t, access.App, "contact", access.ActionRead, "member", "viewer").Identity
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				ex := exchange(t, access.App, "contact", actions[i%4].action)
				ex.Identity = id
				if d, err := e.Authorize(t.Context(), ex); err != nil || d.Allow != (i%4 != 3) {
					t.Errorf("%s: %+v, %v", actions[i%4].action, d, err)
				}
			}
		})
	}
	wg.Wait()
}
