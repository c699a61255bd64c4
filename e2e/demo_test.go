package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/e2e/harness"
)

// demo is `sallyport demo`, as anybody starts it.
type demo struct {
	*harness.Process
	URL   string `json:"url"`
	CA    string `json:"ca"`
	Dir   string `json:"dir"`
	Ops   string `json:"ops"`
	Users []struct{ Tenant, Role, Email, Password string }
}

func startDemo(t *testing.T) *demo {
	t.Helper()
	cmd := exec.Command(binary(t), "demo", "--port", "0", "--json")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	d := &demo{Process: harness.Start(t, "sallyport demo", cmd)}
	harness.Eventually(t, "the demo says where it is", func() bool {
		if !d.Running() {
			t.Fatalf("the demo has ended: %s", d.Stderr.String())
		}
		line, _, whole := strings.Cut(d.Stdout.String(), "\n")
		return whole && json.Unmarshal([]byte(line), d) == nil
	})
	return d
}

// spki is the public key of the demo's certificate, which its own authority must vouch for.
func (d *demo) spki(t *testing.T) string {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(mustRead(t, d.CA))) {
		t.Fatalf("%s holds no certificate", d.CA)
	}
	at, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", "127.0.0.1:"+at.Port(), &tls.Config{RootCAs: roots, ServerName: at.Hostname()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return harness.SPKI(conn.ConnectionState().PeerCertificates[0])
}

// told waits for an audit event on the demo's output.
func (d *demo) told(t *testing.T, want string) {
	t.Helper()
	var seen []string
	harness.Eventually(t, "the demo tells of "+want, func() bool {
		_, lines, _ := strings.Cut(d.Stdout.String(), "\n")
		seen = seen[:0]
		for line := range strings.Lines(lines) {
			var ev access.Event
			if json.Unmarshal([]byte(line), &ev) == nil {
				seen = append(seen, harness.Shown(ev))
			}
		}
		return slices.Contains(seen, want)
	})
}

func TestABrowserWalksThroughTheDemo(t *testing.T) {
	d := startDemo(t)
	b := harness.NewBrowser(t, d.spki(t))
	member := d.Users[slices.IndexFunc(d.Users, func(u struct{ Tenant, Role, Email, Password string }) bool {
		return u.Tenant == "acme" && u.Role == "member"
	})]

	// Log in, with a slip of the fingers.
	b.Go(t, d.URL+"/contacts")
	b.Click(t, `form:has(input[name=provider][value^=acme]) button`)
	b.Fill(t, "#username", member.Email)
	b.Fill(t, "#password", "not "+member.Password)
	b.Click(t, "main form button")
	if b.Text(t, "#problem") == "" {
		t.Error("a wrong password is not told")
	}
	b.Fill(t, "#username", member.Email)
	b.Fill(t, "#password", member.Password)
	b.Click(t, "main form button")
	if at, who := b.At(t), b.Text(t, ".who"); at != d.URL+"/contacts" || !strings.Contains(who, member.Email) {
		t.Fatalf("the login ended at %s as %q", at, who)
	}

	// A second tab looks on.
	onlooker := b.NewTab(t)
	onlooker.Go(t, d.URL+"/")
	onlooker.Until(t, `document.getElementById("live").dataset.state === "open"`)

	// Edit a contact.
	b.Click(t, "tbody a")
	id := b.At(t)[strings.LastIndex(b.At(t), "/")+1:]
	b.Click(t, ".acts a.button")
	b.Fill(t, "#f-title", "Head of Sallyports")
	b.Click(t, "form.sheet button")
	if got := b.Text(t, "main"); !strings.Contains(got, "Saved.") || !strings.Contains(got, "Head of Sallyports") {
		t.Errorf("after saving the page says %q", got)
	}
	d.told(t, "acme "+member.Email+" update contact/"+id+" done 303")
	onlooker.Until(t, `document.getElementById("live").textContent.includes("changed contact")`)

	// Be refused, with a reason and the request's id.
	for _, c := range []struct{ name, page, click, code string }{
		{"a member deletes by an old page's GET", "/demo/attacks", `a[href^="/deals/card?action=confirm_delete"]`, "not_permitted"},
		{"a member opens the billing", "/demo/attacks", `a[href="/billing"]`, "not_permitted"},
		{"another tenant by the query", "/demo/attacks", `a[href^="/contacts?tenant_id="]`, "tenant_mismatch"},
		{"another tenant by a form", "/demo/attacks", `ol.try form button`, "tenant_mismatch"},
		{"SQL injection", "/demo/attacks", `a[href^="/contacts?q="]`, "waf_blocked"},
	} {
		b.Go(t, d.URL+c.page)
		b.Click(t, c.click)
		refusal, whole := b.Text(t, "main"), b.Text(t, "body")
		if !strings.Contains(refusal, "403") || !strings.Contains(refusal, c.code) || !strings.Contains(whole, "Request id") {
			t.Errorf("%s: the page says %q", c.name, whole)
		}
	}

	// Log out: what is open is cut, and does not come back.
	b.Go(t, d.URL+"/")
	b.Click(t, `form[action="/.sallyport/logout"] button`)
	onlooker.Until(t, `document.getElementById("live").dataset.state === "closed"`)
	d.told(t, "acme "+member.Email+" logout sallyport/ done 303")
	b.Go(t, d.URL+"/contacts")
	if got := b.At(t); !strings.HasPrefix(got, d.URL+"/.sallyport/login") {
		t.Errorf("after the logout the contacts are at %s", got)
	}

	d.Signal(syscall.SIGINT)
	if code := d.Wait(t); code != 0 {
		t.Errorf("the demo ended with %d:\n%s", code, d.Stderr.String())
	}
	if _, err := os.Stat(d.Dir); !os.IsNotExist(err) {
		t.Errorf("the demo left its folder: %v", err)
	}
}
