package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The data of the pages, with the fields that doc.go names.
type (
	reason struct{ ID, Text string }
	button struct{ Provider, Label string }
	link   struct{ URL, Text string }

	refusal struct {
		Status                                                          int
		Code, Title, Detail, Remedy, RequestID, Site, LoginURL, HomeURL string
		Reasons                                                         []reason
	}
	login struct {
		Site, Action, Return, Email, Notice, RequestID string
		Again, AskEmail                                bool
		Buttons                                        []button
	}
	logout    struct{ Site, Action, Who, HomeURL, RequestID string }
	loggedout struct {
		Site, LoginURL, RequestID string
		StillAtProvider           bool
	}
	whoami struct {
		Site, Subject, Name, Email, Tenant, TenantName, Provider, LogoutURL, HomeURL, RequestID string
		Roles, Groups, AMR                                                                      []string
		AuthTime, Expires                                                                       time.Time
	}
	message struct {
		Site, Title, Text, RequestID string
		Links                        []link
	}
)

var showTo = flag.String("show", "", "write the sample pages into this folder, to look at them in a browser")

func samples(s string, now time.Time) map[string]any {
	urls := "/.sallyport/login?return=" + s
	return map[string]any{
		"refusal":   refusal{403, s, s, s, s, s, s, urls, urls, []reason{{s, s}}},
		"login":     login{s, urls, s, s, "no_provider", s, true, true, []button{{s, s}}},
		"logout":    logout{s, urls, s, urls, s},
		"loggedout": loggedout{s, urls, s, true},
		"whoami":    whoami{s, s, s, s, s, s, s, urls, urls, s, []string{s, s}, []string{s}, []string{s}, now, now},
		"message":   message{s, s, s, s, []link{{urls, s}}},
	}
}

func newPages(t *testing.T) *Pages {
	t.Helper()
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func render(t *testing.T, p *Pages, page string, data any) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Render(&b, page, data); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEveryPageEscapesHostileValues(t *testing.T) {
	p := newPages(t)
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'><svg onload=alert(1)>`, `</title><script>`, `</style><script>x`,
		`{{.Site}}`, "\x00\xff\u202e<b>", `javascript:alert(1)`, strings.Repeat("<x>", 2000),
	} {
		for page, data := range samples(hostile, time.Now()) {
			got := render(t, p, page, data)
			for _, bad := range []string{"<script", "<img", "onerror=alert(1)>", "<svg onload", "</title><s", "</style><s", "<b>", "<x>"} {
				if strings.Contains(got, bad) {
					t.Errorf("%s with %.30q holds %q", page, hostile, bad)
				}
			}
			if n := strings.Count(got, "<style>"); n != 1 {
				t.Errorf("%s: %d style elements", page, n)
			}
		}
	}
}

func TestLinksOfAForeignSchemeAreNeutralised(t *testing.T) {
	p := newPages(t)
	for page, data := range map[string]any{
		"refusal": refusal{Status: 403, LoginURL: "javascript:alert(1)", HomeURL: "data:text/html,x"},
		"message": message{Links: []link{{URL: "javascript:alert(1)"}}},
		"login":   login{Action: "javascript:alert(1)", AskEmail: true},
	} {
		if got := render(t, p, page, data); strings.Contains(got, "javascript:") || strings.Contains(got, "data:text") {
			t.Errorf("%s keeps the scheme", page)
		}
	}
}

func TestEveryPageIsPlainSemanticHTML(t *testing.T) {
	p := newPages(t)
	for page, data := range samples("plain", time.Now()) {
		got := render(t, p, page, data)
		for _, want := range []string{`<html lang="en">`, `<meta charset="utf-8">`, `content="width=device-width, initial-scale=1"`, "<main>", "<title>", "plain</code></span>"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s lacks %q", page, want)
			}
		}
		for _, bad := range []string{"<script", "style=", "onclick", "user-scalable", "maximum-scale", "http://", "https://", "ZgotmplZ"} {
			if strings.Contains(got, bad) {
				t.Errorf("%s holds %q", page, bad)
			}
		}
		if n := strings.Count(got, "<h1>"); n != 1 {
			t.Errorf("%s has %d h1", page, n)
		}
		ids := regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(got, -1)
		for i, id := range ids {
			if slices.ContainsFunc(ids[:i], func(other []string) bool { return other[1] == id[1] }) {
				t.Errorf("%s: id %q stands twice", page, id[1])
			}
		}
		for _, refs := range regexp.MustCompile(`(?:\sfor|aria-describedby)="([^"]+)"`).FindAllStringSubmatch(got, -1) {
			for ref := range strings.FieldsSeq(refs[1]) {
				if !strings.Contains(got, ` id="`+ref+`"`) {
					t.Errorf("%s refers to id %q, which is not there", page, ref)
				}
			}
		}
	}
}

func TestPolicyNamesTheHashOfTheStyleThatStandsInThePage(t *testing.T) {
	p := newPages(t)
	for page, data := range samples("x", time.Now()) {
		_, rest, _ := strings.Cut(render(t, p, page, data), "<style>")
		style, _, _ := strings.Cut(rest, "</style>")
		sum := sha256.Sum256([]byte(style))
		if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(p.CSP(), want) || !strings.Contains(p.CSPLeaving(), want) {
			t.Errorf("%s: the policy lacks %s", page, want)
		}
	}
	for _, csp := range []string{p.CSP(), p.CSPLeaving()} {
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%q lacks %s", csp, want)
			}
		}
		if strings.Contains(csp, "script-src") || strings.Contains(csp, "unsafe") {
			t.Errorf("%q allows scripts", csp)
		}
	}
	if !strings.HasSuffix(p.CSP(), "form-action 'self'") {
		t.Errorf("%q lets forms leave the site", p.CSP())
	}
}

func TestRenderWritesNothingOnAnError(t *testing.T) {
	p := newPages(t)
	var b bytes.Buffer
	if err := p.Render(&b, "nowhere", nil); err == nil || b.Len() > 0 {
		t.Errorf("unknown page: %v, %d bytes", err, b.Len())
	}
	// The title needs no field of the data, so part of the page is made before it fails.
	if err := p.Render(&b, "login", struct{ Site string }{"x"}); err == nil || b.Len() > 0 {
		t.Errorf("data without the fields: %v, %d bytes", err, b.Len())
	}
	if err := p.Render(failing{}, "logout", logout{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a writer that fails: %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestCatalogueHoldsExactlyTheMessagesInUse(t *testing.T) {
	texts, err := catalogue()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, name := range append(names(), "layout") {
		b, err := files.ReadFile("templates/" + name + ".html")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\{\{t "([^"]+)"`).FindAllSubmatch(b, -1) {
			used[string(m[1])] = true
		}
	}
	for key := range used {
		if texts[key] == "" {
			t.Errorf("message %q is used and missing", key)
		}
	}
	for key := range texts {
		if !used[key] && !strings.HasPrefix(key, "refusal.heading.") {
			t.Errorf("message %q is not used", key)
		}
	}
	if _, err := texts.text("login.to"); err == nil {
		t.Error("a message without its argument is given out")
	}
}

func TestRefusalShowsWhatWhyAndWhatToDo(t *testing.T) {
	p := newPages(t)
	data := refusal{Status: 403, Code: "denied", Title: "Forbidden", Detail: "Your role does not allow this.", Remedy: "Ask an owner.", RequestID: "id-1", Site: "crm", LoginURL: "/.sallyport/login", HomeURL: "/"}
	got := html.UnescapeString(render(t, p, "refusal", data))
	for _, want := range []string{"You may not do this", data.Detail, data.Remedy, "<code>denied</code>", "<code>id-1</code>", `href="/.sallyport/login"`, `href="/"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(got, "Reasons for administrators") {
		t.Error("a heading for reasons without reasons")
	}
	data.Reasons = []reason{{"role_lacks_permission", "Role viewer may not delete."}}
	if got := render(t, p, "refusal", data); !strings.Contains(got, "role_lacks_permission") {
		t.Error("the reasons are missing")
	}
	data.Status, data.Title = http.StatusTeapot, "I'm a teapot"
	if got := html.UnescapeString(render(t, p, "refusal", data)); !strings.Contains(got, "<h1>I'm a teapot</h1>") {
		t.Error("an unlisted status has no heading")
	}
}

func TestSecurityTxt(t *testing.T) {
	got, err := SecurityTxt("mailto:security@example.com", time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	if want := "Contact: mailto:security@example.com\nExpires: 2030-01-02T03:04:05Z\nPreferred-Languages: en\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
	for _, contact := range []string{"", "security@example.com", "http://example.com", "https:///x", "mailto:x", "mailto:a@b\nEncryption: evil", "mailto:a@b c"} {
		if _, err := SecurityTxt(contact, time.Now()); err == nil {
			t.Errorf("contact %q was accepted", contact)
		}
		found := 0
		Config{SecurityContact: contact}.Check(func(string, string, string) { found++ }, nil)
		if (found == 0) != (contact == "") {
			t.Errorf("Check(%q): %d problems", contact, found)
		}
	}
	if _, err := SecurityTxt("mailto:a@b.example", time.Time{}); err == nil {
		t.Error("no expiry was accepted")
	}
}

func TestConfiguredNameStandsOnThePages(t *testing.T) {
	p, err := New(Config{Name: "Gate <1>"})
	if err != nil {
		t.Fatal(err)
	}
	if got := render(t, p, "message", message{Title: "x"}); !strings.Contains(got, "Gate &lt;1&gt;") {
		t.Error("the name is missing or not escaped")
	}
	found := 0
	Config{Name: strings.Repeat("x", maxName+1)}.Check(func(string, string, string) { found++ }, nil)
	if found != 1 {
		t.Errorf("a long name: %d problems", found)
	}
}

// TestShow writes the pages as a person would see them: go test ./web -run Show -show /tmp/pages
func TestShow(t *testing.T) {
	if *showTo == "" {
		t.Skip("only with -show")
	}
	p, now, id := newPages(t), time.Date(2026, 1, 2, 15, 4, 0, 0, time.UTC), "0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"
	for file, page := range map[string]struct {
		name string
		data any
	}{
		"refusal": {"refusal", refusal{403, "not_permitted", "Forbidden", "Your role does not allow deleting contacts.", "Ask an owner or admin of your organisation for the permission, and tell them the request id below.", id, "crm", "", "/", []reason{{"role_lacks_permission", "Role viewer may read contact, not delete it."}}}},
		"expired": {"refusal", refusal{400, "login_expired", "Bad Request", "This sign-in took longer than ten minutes, so it was stopped.", "Sign in again.", id, "crm", "/l", "/", nil}},
		"login":   {"login", login{"crm", "/l", "/", "", "", id, false, true, []button{{"acme", "Acme SSO"}}}},
		"email":   {"login", login{"crm", "/l", "/", "alice@acme.exmaple", "no_provider", id, false, true, nil}},
		"logout":  {"logout", logout{"crm", "/l", "alice@acme.example", "/", id}},
		"out":     {"loggedout", loggedout{"crm", "/l", id, true}},
		"whoami":  {"whoami", whoami{"crm", "mzxw6ytboi5dgnjqge3tqojqgi", "Alice Ames", "alice@acme.example", "acme", "Acme Inc.", "acme-sso", "/l", "/", id, []string{"admin", "member"}, []string{"crm-admins"}, []string{"pwd", "otp"}, now, now.Add(time.Hour)}},
		"message": {"message", message{"crm", "Title of a message", "Its text.", id, []link{{"/", "Go on"}, {"/x", "Something else"}}}},
	} {
		if err := os.WriteFile(filepath.Join(*showTo, file+".html"), []byte(render(t, p, page.name, page.data)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
