package policy

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/sallyport/sallyport/access"
)

// Input is everything that Rego sees of a request, as the document input: nothing of
// the body, no header, no time. Its members' names are an interface to those who write
// policies; once published they stay.
type Input struct {
	// Route is the configured pattern that matched, such as "/api/contacts/{id}".
	Route string `json:"route"`
	// Class is app, console or operator.
	Class string `json:"class"`
	// Resource is the type of thing; Area is what Config.Areas and the built-in names
	// make of it; ID is the single thing, or "" for the collection.
	Resource string `json:"resource"`
	Area     string `json:"area"`
	ID       string `json:"id"`
	// Action is read, create, update, delete, unknown, or a name that the file gives.
	Action string `json:"action"`
	// Mutating is false only where the route is known to change nothing. A policy that
	// looks at Action alone would take "read" for harmless where it is not.
	Mutating bool `json:"mutating"`
	// User is who asks; absent for a stranger.
	User *User `json:"user,omitempty"`
	// Tenant is the tenant that the request acts on: the one its identity proved, or "".
	Tenant string `json:"tenant"`
	Client Client `json:"client"`
	Site   string `json:"site"`
	Method string `json:"method"`
	// Path is decoded exactly once. A rule that reads it makes decisions differ by
	// record; Route, Resource and ID say the same without that.
	Path string `json:"path"`
}

// User is who asks, as proved by the login.
type User struct {
	ID     string   `json:"id"`
	Email  string   `json:"email"`
	Roles  []string `json:"roles"`
	Groups []string `json:"groups"`
	Tenant string   `json:"tenant"`
	AMR    []string `json:"amr"` // RFC 8176
	// MFA says that the login proved at least two different kinds of factors.
	MFA bool `json:"mfa"`
}

// Client is where the request comes from.
type Client struct {
	Addr string `json:"addr"` // an IP address, or ""
}

// Bounds of the input. What is beyond them is refused and never cut: a rule that
// forbids something must not miss it because its end was missing.
const (
	maxName  = 256      // bytes of a name or id
	maxPath  = 8 << 10  // bytes of a path; the bound for regular expressions too, which heed no deadline
	maxList  = 1 << 10  // roles, groups, methods of a user
	maxLists = 64 << 10 // bytes of all of a user's lists together
)

// boundsError says which member of the input is beyond its bounds.
type boundsError struct{ member, what string }

func (e *boundsError) Error() string { return fmt.Sprintf("input.%s %s", e.member, e.what) }

// newInput copies what policy may see out of an exchange, the user apart (see userTerm).
func newInput(ex *access.Exchange, areas map[string]string) Input {
	in := Input{
		Route:    ex.Route.Pattern,
		Class:    ex.Route.Class.String(),
		Resource: ex.Route.Resource,
		Area:     areaOf(areas, ex.Route.Resource),
		ID:       ex.Route.ID,
		Action:   ex.Route.Action,
		Mutating: ex.Mutating(),
		Tenant:   ex.Tenant().String(),
		Path:     ex.Target.Path,
	}
	if ex.Client.Addr.IsValid() {
		in.Client.Addr = ex.Client.Addr.String()
	}
	if ex.Site != nil {
		in.Site = ex.Site.Name
	}
	if ex.Request != nil {
		in.Method = ex.Request.Method
	}
	return in
}

func newUser(id *access.Identity) *User {
	return &User{ID: id.Subject, Email: id.Email, Roles: id.Roles, Groups: id.Groups,
		Tenant: id.Tenant.String(), AMR: id.AMR, MFA: multiFactor(id.AMR)}
}

// check finds the first member that is beyond its bounds.
func (in *Input) check() error {
	for _, s := range [...]struct {
		member, text string
		most         int
	}{
		{"route", in.Route, maxPath}, {"resource", in.Resource, maxName}, {"area", in.Area, maxName}, {"id", in.ID, maxName},
		{"action", in.Action, maxName}, {"tenant", in.Tenant, maxName}, {"client.addr", in.Client.Addr, maxName},
		{"site", in.Site, maxName}, {"method", in.Method, maxName}, {"path", in.Path, maxPath},
	} {
		if err := checkText(s.member, s.text, s.most); err != nil {
			return err
		}
	}
	return nil
}

func (u *User) check() error {
	if err := checkText("user.id", u.ID, maxName); err != nil {
		return err
	}
	if err := checkText("user.email", u.Email, maxName); err != nil {
		return err
	}
	total := 0
	for _, l := range [...]struct {
		member string
		texts  []string
	}{{"user.roles", u.Roles}, {"user.groups", u.Groups}, {"user.amr", u.AMR}} {
		if len(l.texts) > maxList {
			return &boundsError{l.member, fmt.Sprintf("has %d entries, at most %d are looked at", len(l.texts), maxList)}
		}
		for _, text := range l.texts {
			if err := checkText(l.member, text, maxName); err != nil {
				return err
			}
			total += len(text)
		}
	}
	if total > maxLists {
		return &boundsError{"user", fmt.Sprintf("has lists of %d bytes, at most %d are looked at", total, maxLists)}
	}
	return nil
}

func checkText(member, text string, most int) error {
	if len(text) > most {
		return &boundsError{member, fmt.Sprintf("has %d bytes, at most %d are looked at", len(text), most)}
	}
	if !utf8.ValidString(text) {
		return &boundsError{member, "is not UTF-8"}
	}
	return nil
}

// value builds what Rego works on without the detour over JSON: a quarter of a
// decision's cost otherwise. user is nil for a stranger.
func (in *Input) value(user *ast.Term) ast.Value {
	members := make([][2]*ast.Term, 0, 13)
	add := func(name string, value *ast.Term) {
		members = append(members, [2]*ast.Term{ast.InternedTerm(name), value})
	}
	add("route", ast.InternedTerm(in.Route))
	add("class", ast.InternedTerm(in.Class))
	add("resource", ast.InternedTerm(in.Resource))
	add("area", ast.InternedTerm(in.Area))
	add("id", ast.InternedTerm(in.ID))
	add("action", ast.InternedTerm(in.Action))
	add("mutating", ast.InternedTerm(in.Mutating))
	add("tenant", ast.InternedTerm(in.Tenant))
	add("client", ast.ObjectTerm([2]*ast.Term{ast.InternedTerm("addr"), ast.InternedTerm(in.Client.Addr)}))
	add("site", ast.InternedTerm(in.Site))
	add("method", ast.InternedTerm(in.Method))
	add("path", ast.InternedTerm(in.Path))
	if user != nil {
		add("user", user)
	}
	return ast.NewObject(members...)
}

func (u *User) term() *ast.Term {
	return ast.ObjectTerm(
		[2]*ast.Term{ast.InternedTerm("id"), ast.InternedTerm(u.ID)},
		[2]*ast.Term{ast.InternedTerm("email"), ast.InternedTerm(u.Email)},
		[2]*ast.Term{ast.InternedTerm("roles"), textsTerm(u.Roles)},
		[2]*ast.Term{ast.InternedTerm("groups"), textsTerm(u.Groups)},
		[2]*ast.Term{ast.InternedTerm("tenant"), ast.InternedTerm(u.Tenant)},
		[2]*ast.Term{ast.InternedTerm("amr"), textsTerm(u.AMR)},
		[2]*ast.Term{ast.InternedTerm("mfa"), ast.InternedTerm(u.MFA)},
	)
}

func textsTerm(texts []string) *ast.Term {
	terms := make([]*ast.Term, len(texts))
	for i, text := range texts {
		terms[i] = ast.InternedTerm(text)
	}
	return ast.ArrayTerm(terms...)
}

// memo is what policy keeps in an identity: its user as Rego sees it. An identity does
// not change and a term is only read, so all requests of the session share it.
type memo struct{ user *ast.Term }

// userTerm gives the user as Rego sees it, or nil for a stranger.
func userTerm(id *access.Identity) (*ast.Term, error) {
	if id == nil {
		return nil, nil
	}
	kept := id.Memo.Load()
	if m, ok := kept.(*memo); ok {
		return m.user, nil
	}
	u := newUser(id)
	if err := u.check(); err != nil {
		return nil, err
	}
	m := &memo{user: u.term()}
	if kept == nil { // an atomic.Value panics when it gets a second type
		id.Memo.CompareAndSwap(nil, m)
	}
	return m.user, nil
}

// factors sorts the methods of RFC 8176, section 2, by what they prove: something the
// user knows, has, or is.
var factors = map[string]string{
	"pwd": "knows", "pin": "knows", "kba": "knows",
	"otp": "has", "hwk": "has", "swk": "has", "sc": "has", "sms": "has", "tel": "has", "pop": "has",
	"fpt": "is", "face": "is", "iris": "is", "retina": "is", "vbm": "is",
}

// multiFactor says whether the methods of a login prove two different kinds of
// factors, or say so themselves ("mfa").
func multiFactor(amr []string) bool {
	if slices.Contains(amr, "mfa") {
		return true
	}
	first := ""
	for _, method := range amr {
		switch kind := factors[method]; {
		case kind == "" || kind == first:
		case first == "":
			first = kind
		default:
			return true
		}
	}
	return false
}
