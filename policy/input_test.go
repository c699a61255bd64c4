package policy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/units"
)

// What Rego sees must be what the struct and its tags say: the struct is the reference
// that authors of policies read.
func TestInputValueIsTheStructAsJSON(t *testing.T) {
	full := exchange(t, access.App, "contact", access.ActionUpdate, "member", "viewer")
	full.Identity.Groups = []string{"sales"}
	full.Identity.AMR = []string{"pwd", "otp"}
	stranger := exchange(t, access.Console, "x", "y")
	stranger.Identity = nil
	stranger.Client.Addr = netip.Addr{}
	stranger.Site, stranger.Request = nil, nil
	for name, ex := range map[string]*access.Exchange{"a user": full, "a stranger": stranger} {
		in := newInput(ex, builtinAreas)
		user, err := userTerm(ex.Identity)
		if err != nil {
			t.Fatal(err)
		}
		got := in.value(user)
		if ex.Identity != nil {
			in.User = newUser(ex.Identity)
		}
		want, err := ast.InterfaceToValue(in)
		if err != nil {
			t.Fatal(err)
		}
		if got.Compare(want) != 0 {
			t.Errorf("%s: Rego would see\n%v\nwant\n%v", name, got, want)
		}
	}
	if in := newInput(full, builtinAreas); in.Route != "/api/contact/{id}" || in.Class != "app" || in.Resource != "contact" || in.Area != "records" ||
		in.ID != "7" || in.Action != "update" || !in.Mutating || in.Tenant != "acme" || in.Client.Addr != "192.0.2.1" ||
		in.Site != "crm" || in.Method != "POST" || in.Path != "/api/contact/7" {
		t.Errorf("input %+v", in)
	}
	if u := newUser(full.Identity); u.ID != "ann" || u.Email != "ann@acme.example" || u.Tenant != "acme" || !u.MFA || len(u.Roles) != 2 || u.Groups[0] != "sales" {
		t.Errorf("user %+v", u)
	}
}

func TestInputBeyondItsBoundsIsRefusedAndNeverCut(t *testing.T) {
	e := newEngine(t, Config{})
	long, huge := strings.Repeat("a", maxName+1), strings.Repeat("/a", maxPath/2)+"/"
	many := strings.Split(strings.Repeat("member,", maxList+1), ",")
	heavy := strings.Split(strings.Repeat(strings.Repeat("g", 200)+",", 400), ",")
	for _, c := range []struct {
		name, member string
		change       func(ex *access.Exchange)
	}{
		{"a long resource type", "input.resource", func(ex *access.Exchange) { ex.Route.Resource = long }},
		{"a long id", "input.id", func(ex *access.Exchange) { ex.Route.ID = long }},
		{"a long action", "input.action", func(ex *access.Exchange) { ex.Route.Action = long }},
		{"a long pattern", "input.route", func(ex *access.Exchange) { ex.Route.Pattern = huge }},
		{"a long path", "input.path", func(ex *access.Exchange) { ex.Target.Path = huge }},
		{"a path that is not UTF-8", "input.path", func(ex *access.Exchange) { ex.Target.Path = "/\xff" }},
		{"a long method", "input.method", func(ex *access.Exchange) { ex.Request.Method = long }},
		{"a long site name", "input.site", func(ex *access.Exchange) { ex.Site = &access.Site{Name: long} }},
		{"a long subject", "input.user.id", func(ex *access.Exchange) { ex.Identity.Subject = long }},
		{"a long email", "input.user.email", func(ex *access.Exchange) { ex.Identity.Email = long }},
		{"a long role", "input.user.roles", func(ex *access.Exchange) { ex.Identity.Roles = []string{"owner", long} }},
		{"too many roles", "input.user.roles", func(ex *access.Exchange) { ex.Identity.Roles = many }},
		{"too many groups", "input.user.groups", func(ex *access.Exchange) { ex.Identity.Groups = many }},
		{"too heavy groups", "input.user", func(ex *access.Exchange) { ex.Identity.Groups = heavy }},
		{"a method of login that is not UTF-8", "input.user.amr", func(ex *access.Exchange) { ex.Identity.AMR = []string{"\xff"} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ex := exchange(t, access.App, "contact", access.ActionRead, "owner")
			c.change(ex)
			for range 2 { // the second time something might have been remembered
				d, err := e.Authorize(t.Context(), ex)
				if err != nil || d.Allow || d.Rule != "input_out_of_bounds" || len(d.Reasons) != 1 || !strings.HasPrefix(d.Reasons[0].Text, c.member+" ") {
					t.Errorf("%+v, %v; want a no that names %s", d, err, c.member)
				}
			}
		})
	}
	t.Run("at its bounds it is judged", func(t *testing.T) {
		ex := exchange(t, access.App, long[1:], access.ActionRead, "owner")
		ex.Target.Path = huge[:maxPath]
		ex.Identity.Groups = many[:maxList]
		if d, err := e.Authorize(t.Context(), ex); err != nil || !d.Allow {
			t.Errorf("%+v, %v; want a yes", d, err)
		}
	})
}

func TestMultiFactor(t *testing.T) {
	for _, c := range []struct {
		amr  string
		want bool
	}{
		{"", false}, {"pwd", false}, {"pwd pin", false}, {"otp hwk", false}, {"pwd nonsense", false}, {"MFA", false},
		{"mfa", true}, {"pwd mfa", true}, {"pwd otp", true}, {"otp pwd", true}, {"pwd pwd hwk", true}, {"hwk fpt", true}, {"face pin", true},
	} {
		if got := multiFactor(strings.Fields(c.amr)); got != c.want {
			t.Errorf("%q: %v, want %v", c.amr, got, c.want)
		}
	}
}

func TestMemoOfAnotherRoomIsLeftAlone(t *testing.T) {
	ex := exchange(t, access.App, "contact", access.ActionRead, "viewer")
	ex.Identity.Memo.Store("something else")
	if d, err := newEngine(t, Config{}).Authorize(t.Context(), ex); !d.Allow || err != nil {
		t.Errorf("%+v, %v", d, err)
	}
	if got := ex.Identity.Memo.Load(); got != "something else" {
		t.Errorf("memo %v", got)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	e, err := New(b.Context(), Config{Deadline: units.Span(maxDeadline)}, Deps{})
	if err != nil {
		b.Fatal(err)
	}
	for name, ex := range map[string]*access.Exchange{
		"allow": exchange(b, access.App, "contact", access.ActionUpdate, "member"),
		"deny":  exchange(b, access.App, "contact", access.ActionDelete, "member"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Authorize(b.Context(), ex); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The same rules and the same question, as a program that embeds OPA commonly asks it.
func BenchmarkStockEvalInputStruct(b *testing.B) {
	e, err := New(b.Context(), Config{}, Deps{})
	if err != nil {
		b.Fatal(err)
	}
	ex := exchange(b, access.App, "contact", access.ActionUpdate, "member")
	b.ReportAllocs()
	for b.Loop() {
		in := newInput(ex, e.areas)
		in.User = newUser(ex.Identity)
		results, err := e.query.Eval(b.Context(), rego.EvalInput(in))
		if err != nil || len(results) != 1 {
			b.Fatal(results, err)
		}
	}
}
