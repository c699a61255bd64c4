package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/e2e/harness"
)

// startPHPCRM starts the small PHP application of this folder, which is written like old CRMs.
func startPHPCRM(t *testing.T) (address string) {
	t.Helper()
	data := t.TempDir()
	if err := os.Mkdir(filepath.Join(data, "sessions"), 0o700); err != nil {
		t.Fatal(err)
	}
	address = fmt.Sprintf("127.0.0.1:%d", harness.Port(t, "127.0.0.1"))
	cmd := exec.Command(harness.Tool(t, "php"), "-S", address, "-t", filepath.Join(harness.Root(), "phpcrm"))
	cmd.Env = append(os.Environ(), "PHPCRM_DATA="+data)
	harness.Start(t, "php", cmd).Listening(t, address)
	return "http://" + address
}

const phpSite = `
upstreams: [%q]
tenant: {guard: [query.tenant, form.tenant]}
public: ["/static/**"]
cookies: {script: [sidebar]}
resources:
  - type: deal
    form:
      path: "/deals/card.php"
      action: action
      id: id
      actions: {read: [view], create: [add], update: [update], delete: [confirm_delete]}
  - {type: deal, path: "/index.php"}
  - {type: deal, path: "/"}
`

func startPHPSite(t *testing.T) (*harness.Gateway, *harness.Observer) {
	t.Helper()
	observed := harness.Observe(t, startPHPCRM(t))
	return harness.StartGateway(t, harness.Setup{Binary: binary(t), Site: fmt.Sprintf(phpSite, observed.URL)}), observed
}

func TestPHPApplicationInABrowser(t *testing.T) {
	g, _ := startPHPSite(t)
	b := g.NewBrowser(t)

	// A person who comes without a session is led through the login to where they wanted to go.
	b.Go(t, g.URL+"/")
	b.LogIn(t, harness.Mia)
	if user, tenant := b.Text(t, "#user"), b.Text(t, "#tenant"); user != harness.Mia.Email() || tenant != "acme" || b.At(t) != g.URL+"/" {
		t.Fatalf("the application sees %s of %s at %s", user, tenant, b.At(t))
	}

	// Forms work: the script reads the token's cookie, and Referer fits Host.
	for _, name := range []string{"A ship & its <crew>", "Second deal", "Third deal"} {
		b.Fill(t, "input[name=name]", name)
		b.Click(t, "#add")
	}
	listed := `[...document.querySelectorAll("#deals a")].map(a => a.textContent).join("|")`
	if got := harness.Eval[string](t, b, listed); got != "A ship & its <crew>|Second deal|Third deal" {
		t.Fatalf("the application lists %q", got)
	}
	b.Click(t, "#deals a")
	b.Fill(t, "input[name=name]", "A ship")
	b.Click(t, "#save")
	if got := b.Text(t, "h1"); got != "A ship" {
		t.Errorf("after saving the page is %q", got)
	}

	// Cookies: scripts read what they always read; what they never saw is sealed.
	cookies := harness.Eval[string](t, b, "document.cookie")
	if !strings.Contains(cookies, "csrftoken=") || !strings.Contains(cookies, "sidebar=open") || strings.Contains(cookies, "PHPSESSID") || strings.Contains(cookies, "sallyport") {
		t.Errorf("scripts see %s", cookies)
	}
	kept := b.Cookies(t)
	for name, httpOnly := range map[string]bool{"PHPSESSID": true, "csrftoken": false} {
		c := kept[name]
		if c == nil || c.HTTPOnly != httpOnly || !c.Secure {
			t.Errorf("the browser keeps %s as %+v", name, c)
		}
	}
	if c := kept["PHPSESSID"]; c != nil && !strings.HasPrefix(c.Value, "sp1.") {
		t.Errorf("the session of the application is not sealed: %s", c.Value)
	}

	// A member may not delete, be it by a GET, and is told why.
	b.Click(t, "#delete")
	if got := b.Text(t, "main"); !strings.Contains(got, "403") || !strings.Contains(got, "not_permitted") {
		t.Errorf("the refusal says %q", got)
	}
	ev := g.Event(t, "the refusal", func(ev access.Event) bool { return ev.Outcome == access.Refused && ev.Action == access.ActionDelete })
	if got, want := harness.Shown(ev), "acme mia@acme.test delete deal/1 refused 403"; got != want || ev.Request.Method != "GET" {
		t.Errorf("the journal has %q by %s, want %q", got, ev.Request.Method, want)
	}

	// Another person at the same browser is another person to the application, whose own
	// session cookie is still there.
	b.Go(t, g.URL+"/.sallyport/logout")
	b.Click(t, "main form button")
	b.Click(t, "main a.button") // sign in again: the provider asks anew
	b.LogIn(t, harness.Adam)
	b.Go(t, g.URL+"/")
	if user := b.Text(t, "#user"); user != harness.Adam.Email() {
		t.Errorf("after mia the application still sees %s", user)
	}

	// Another site cannot use his session, not even for a GET that he clicks on.
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><title>evil</title><a href="%s/deals/card.php?action=confirm_delete&id=2">free ships</a>`, g.URL)
	}))
	defer evil.Close()
	b.Go(t, evil.URL)
	b.Click(t, "a")
	if got := b.Text(t, "main"); !strings.Contains(got, "cross_origin") {
		t.Errorf("a deletion from another site: %q", got)
	}

	// From the application itself he deletes, and the journal knows.
	b.Go(t, g.URL+"/deals/card.php?id=1")
	b.Click(t, "#delete")
	if got := harness.Eval[string](t, b, listed); got != "Second deal|Third deal" {
		t.Errorf("after the deletion the application lists %q", got)
	}
	ev = g.Event(t, "the deletion", func(ev access.Event) bool { return ev.Outcome == access.Done && ev.Action == access.ActionDelete })
	if got, want := harness.Shown(ev), "acme adam@acme.test delete deal/1 done 302"; got != want || ev.Request.Method != "GET" {
		t.Errorf("the journal has %q by %s, want %q", got, ev.Request.Method, want)
	}
}

func TestPHPApplicationsCookiesBelongToOneSession(t *testing.T) {
	g, observed := startPHPSite(t)
	mia := g.LoggedIn(t, harness.Mia)
	form := func(v *harness.Visitor, name string) harness.Answer {
		cookies := v.Cookies(t)
		return v.Do(t, "POST", "/deals/card.php", "action=add&csrf="+cookies["csrftoken"]+"&name="+name, "Content-Type: application/x-www-form-urlencoded", "Origin: "+g.URL, "Referer: "+g.URL+"/")
	}
	if res := form(mia, "first"); res.Status != 302 {
		t.Fatalf("the application refuses its own form: %d %s", res.Status, res.Body)
	}
	taken := mia.Cookies(t)
	if taken["PHPSESSID"] == "" || taken["csrftoken"] == "" {
		t.Fatalf("mia has %v", taken)
	}
	// appCookies are the cookies of the application that arrive with a visitor's next request.
	arrives := func(v *harness.Visitor, with map[string]string) string {
		req := v.Request(t, "GET", "/", nil)
		for name, value := range with {
			if !strings.HasPrefix(name, "__Host-") {
				req.AddCookie(&http.Cookie{Name: name, Value: value})
			}
		}
		observed.Seen()
		v.Send(t, req)
		seen := observed.Seen()
		if len(seen) != 1 {
			t.Fatalf("%d requests arrived", len(seen))
		}
		return seen[0].Header.Get("Cookie")
	}
	if got := arrives(mia, nil); !strings.Contains(got, "PHPSESSID=") || strings.Contains(got, "sp1.") || !strings.Contains(got, "csrftoken=") || strings.Contains(got, "sallyport") || strings.Contains(got, "sp-mac") {
		t.Errorf("with mia's own cookies arrives %q", got)
	}

	t.Run("under another user they do nothing", func(t *testing.T) {
		adam := g.LoggedIn(t, harness.Adam)
		adam.Client.Jar.SetCookies(adam.Request(t, "GET", "/", nil).URL, []*http.Cookie{{Name: "PHPSESSID", MaxAge: -1, Path: "/"}, {Name: "csrftoken", MaxAge: -1, Path: "/"}, {Name: "sp-mac-csrftoken", MaxAge: -1, Path: "/"}})
		if got := arrives(adam, taken); strings.Contains(got, "PHPSESSID") || strings.Contains(got, "csrftoken") {
			t.Errorf("with mia's cookies arrives %q as adam", got)
		}
		if res := adam.Do(t, "GET", "/", "", "Cookie: PHPSESSID=chosen-by-the-client"); strings.Contains(res.Body, harness.Mia.Email()) {
			t.Errorf("the application takes adam for mia: %s", res.Body)
		}
	})

	t.Run("without a session nothing arrives", func(t *testing.T) {
		stranger := g.NewVisitor(t)
		req := stranger.Request(t, "GET", "/", nil)
		for name, value := range taken {
			if !strings.HasPrefix(name, "__Host-") {
				req.AddCookie(&http.Cookie{Name: name, Value: value})
			}
		}
		observed.Seen()
		if res := stranger.Send(t, req); res.StatusCode != 401 || len(observed.Seen()) > 0 {
			t.Errorf("got %s", res.Status)
		}
	})

	t.Run("after a logout they are dead, for their own user too", func(t *testing.T) {
		if res := mia.Do(t, "POST", "/.sallyport/logout", ""); res.Status != 303 {
			t.Fatalf("logout: %d %s", res.Status, res.Body)
		}
		again := g.LoggedIn(t, harness.Mia)
		again.Client.Jar.SetCookies(again.Request(t, "GET", "/", nil).URL, []*http.Cookie{{Name: "PHPSESSID", MaxAge: -1, Path: "/"}, {Name: "csrftoken", MaxAge: -1, Path: "/"}, {Name: "sp-mac-csrftoken", MaxAge: -1, Path: "/"}})
		if got := arrives(again, taken); strings.Contains(got, "PHPSESSID") || strings.Contains(got, "csrftoken") {
			t.Errorf("after the logout arrives %q", got)
		}
	})

	t.Run("the application is as strict as it says", func(t *testing.T) {
		adam := g.LoggedIn(t, harness.Adam)
		cookies := adam.Cookies(t)
		for name, header := range map[string]string{"a referer of another host": "https://evil.test/", "no referer": ""} {
			lines := []string{"Content-Type: application/x-www-form-urlencoded", "Origin: " + g.URL}
			if header != "" {
				lines = append(lines, "Referer: "+header)
			}
			res := adam.Do(t, "POST", "/deals/card.php", "action=add&name=x&csrf="+cookies["csrftoken"], lines...)
			if res.Status != 200 || !strings.Contains(res.Body, "Referer and Host differ") {
				t.Errorf("%s: %d %s", name, res.Status, res.Body)
			}
		}
	})

	t.Run("its odd ways are tidied up", func(t *testing.T) {
		res := g.LoggedIn(t, harness.Gabe).Do(t, "GET", "/", "")
		if res.Header.Get("X-Powered-By") != "" || res.Header.Get("Server") != "" || res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("the answer's header is %v", res.Header)
		}
		if !strings.Contains(res.Body, `<b id="tenant">globex</b>`) || strings.Contains(res.Body, "first") {
			t.Errorf("globex sees %s", res.Body)
		}
	})
}
