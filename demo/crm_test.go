package demo

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

func newCRM(t *testing.T) *CRM {
	t.Helper()
	c, err := NewCRM(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends a request as the tenant's people would arrive behind the gateway.
func ask(t *testing.T, c *CRM, tenant, method, target, kind, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if tenant != "" {
		r.Header.Set("X-Tenant-ID", tenant)
	}
	r.Header.Set("X-User-Email", "mia@acme.example")
	r.Header.Set("X-User-Roles", "member")
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

const (
	asJSON = "application/json"
	asForm = "application/x-www-form-urlencoded"
)

func TestEveryAttackWorksAgainstTheApplicationAlone(t *testing.T) {
	for _, test := range []struct {
		name, tenant, method, target, kind, body string
		status                                   int
		harm                                     func(c *CRM, body string) bool
	}{
		{"the tenant header of anybody is believed", "globex", "GET", "/api/contacts/c-2001", "", "", 200,
			func(_ *CRM, body string) bool { return strings.Contains(body, "Confidential") }},
		{"a tenant in the query is believed", "acme", "GET", "/api/contacts?tenant_id=globex", "", "", 200,
			func(_ *CRM, body string) bool { return strings.Contains(body, "Confidential") }},
		{"a tenant in a JSON body is believed", "acme", "POST", "/api/contacts", asJSON, `{"name":"Mallory","email":"m@evil.example","tenant_id":"globex"}`, 201,
			func(c *CRM, _ string) bool { return len(c.books["globex"].list("contact", "Mallory")) == 1 }},
		{"of a key that stands twice the last one counts", "acme", "POST", "/api/contacts", asJSON, `{"name":"Mallory","email":"m@evil.example","tenant_id":"acme","tenant_\u0069d":"globex"}`, 201,
			func(c *CRM, _ string) bool { return len(c.books["globex"].list("contact", "Mallory")) == 1 }},
		{"a tenant in a form is believed", "acme", "POST", "/contacts", asForm, "name=Mallory&email=m%40evil.example&tenant_id=globex", 303,
			func(c *CRM, _ string) bool { return len(c.books["globex"].list("contact", "Mallory")) == 1 }},
		{"a GET deletes", "acme", "GET", "/deals/card?action=confirm_delete&id=d-1001", "", "", 303,
			func(c *CRM, _ string) bool { return c.books["acme"].find("deal", "d-1001") == nil }},
		{"a member deletes a contact", "acme", "DELETE", "/api/contacts/c-1001", "", "", 204,
			func(c *CRM, _ string) bool { return c.books["acme"].find("contact", "c-1001") == nil }},
		{"a member sees the billing", "acme", "GET", "/api/billing", "", "", 200,
			func(_ *CRM, body string) bool { return strings.Contains(body, "DE811128135") }},
		{"a member changes the settings", "acme", "PATCH", "/api/settings", asJSON, `{"company":"Mallory Inc"}`, 200,
			func(c *CRM, _ string) bool { return c.books["acme"].settings.Values["company"] == "Mallory Inc" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCRM(t)
			w := ask(t, c, test.tenant, test.method, test.target, test.kind, test.body)
			if w.Code != test.status || !test.harm(c, w.Body.String()) {
				t.Errorf("got %d %s, want %d and the harm done", w.Code, w.Body, test.status)
			}
			c.Reset()
			if w := ask(t, c, "acme", "GET", "/api/contacts/c-1001", "", ""); w.Code != 200 || len(c.books["globex"].list("contact", "Mallory")) != 0 {
				t.Error("Reset did not bring the first data back")
			}
		})
	}
}

func TestTenantsAreApartUnlessSomebodyLies(t *testing.T) {
	c := newCRM(t)
	for target, want := range map[string]int{
		"/api/contacts/c-2001": 404, "/contacts/c-2001": 404, "/deals/card?action=view&id=d-2001": 404, "/api/contacts/c-1001": 200, "/contacts/c-1001": 200,
	} {
		if w := ask(t, c, "acme", "GET", target, "", ""); w.Code != want {
			t.Errorf("GET %s for acme: got %d, want %d", target, w.Code, want)
		}
	}
	for _, tenant := range []string{"", "hooli"} {
		for _, target := range []string{"/", "/contacts", "/api/contacts", "/events", "/billing", "/api/billing", "/files", "/search?q=a", "/contacts/export.csv", "/demo/attacks"} {
			if w := ask(t, c, tenant, "GET", target, "", ""); w.Code != 400 {
				t.Errorf("GET %s for tenant %q: got %d, want 400", target, tenant, w.Code)
			}
		}
	}
}

func TestEveryPageIsWhole(t *testing.T) {
	c := newCRM(t)
	targets := []string{"/", "/search?q=nord", "/files", "/billing", "/settings", "/debug/request", "/demo/attacks", "/contacts?q=ravi", "/nowhere"}
	for _, k := range c.kinds {
		id := c.books["acme"].records[k.Type][0].ID
		targets = append(targets, "/"+k.Path, k.New(), k.Edit(id), k.link(id))
	}
	label := regexp.MustCompile(`<(?:input|select|textarea) id="([^"]+)"`)
	for _, target := range targets {
		w := ask(t, c, "acme", "GET", target, "", "")
		body := w.Body.String()
		want := 200
		if target == "/nowhere" {
			want = 404
		}
		if w.Code != want || !strings.HasSuffix(strings.TrimSpace(body), "</html>") || !strings.Contains(body, "<h1>") {
			t.Errorf("GET %s: got %d, not a whole page:\n%s", target, w.Code, body)
		}
		for _, m := range label.FindAllStringSubmatch(body, -1) {
			if !strings.Contains(body, `for="`+m[1]+`"`) {
				t.Errorf("GET %s: the field %s has no label", target, m[1])
			}
		}
		if !strings.Contains(body, `action="/.sallyport/logout"`) || strings.Contains(body, "onclick") {
			t.Errorf("GET %s: no way to sign out, or a script in the page", target)
		}
	}
}

func TestWhatPeopleTypeIsNeverMarkup(t *testing.T) {
	c := newCRM(t)
	evil := `"><script>alert(1)</script>`
	ask(t, c, "acme", "PATCH", "/api/contacts/c-1001", asJSON, `{"name":`+quoted(evil)+`,"notes":`+quoted(evil)+`}`)
	for _, target := range []string{"/contacts", "/contacts/c-1001", "/contacts/c-1001/edit", "/search?q=" + url.QueryEscape(evil)} {
		if w := ask(t, c, "acme", "GET", target, "", ""); w.Code != 200 || strings.Contains(w.Body.String(), "<script>alert") {
			t.Errorf("GET %s: got %d, with the markup unescaped", target, w.Code)
		}
	}
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func TestFormsSaveAndKeepWhatWasTyped(t *testing.T) {
	c := newCRM(t)
	w := ask(t, c, "acme", "POST", "/contacts/c-1002", asForm, "name=Jonas+Feld&email=j%40feld.example&title=Director")
	if w.Code != 303 || w.Header().Get("Location") != "/contacts/c-1002?saved=1" || c.books["acme"].find("contact", "c-1002").Values["title"] != "Director" {
		t.Errorf("saving: got %d to %s", w.Code, w.Header().Get("Location"))
	}
	w = ask(t, c, "acme", "POST", "/contacts/c-1002", asForm, "name=&email=j%40feld.example&title=Typed")
	if w.Code != 422 || !strings.Contains(w.Body.String(), "Name is missing") || !strings.Contains(w.Body.String(), `value="Typed"`) || c.books["acme"].find("contact", "c-1002").Values["title"] != "Director" {
		t.Errorf("a missing name: got %d %s", w.Code, w.Body)
	}
	w = ask(t, c, "acme", "POST", "/deals/card", asForm, "action=update&id=d-1002&stage=Won")
	if w.Code != 303 || c.books["acme"].find("deal", "d-1002").Values["stage"] != "Won" {
		t.Errorf("the old page: got %d", w.Code)
	}
	w = ask(t, c, "acme", "POST", "/deals/card", asForm, "action=add&name=New+deal&stage=Proposal")
	if w.Code != 303 || len(c.books["acme"].list("deal", "New deal")) != 1 {
		t.Errorf("adding on the old page: got %d", w.Code)
	}
	if w = ask(t, c, "acme", "POST", "/contacts/c-1002/delete", asForm, ""); w.Code != 303 || c.books["acme"].find("contact", "c-1002") != nil {
		t.Errorf("deleting: got %d", w.Code)
	}
	if w = ask(t, c, "acme", "PATCH", "/api/contacts/c-1001", asJSON, `{"status":"Emperor"}`); w.Code != 422 {
		t.Errorf("a status that does not exist: got %d, want 422", w.Code)
	}
}

func TestTheExportIsSafeForSpreadsheets(t *testing.T) {
	c := newCRM(t)
	ask(t, c, "acme", "PATCH", "/api/contacts/c-1001", asJSON, `{"notes":"=cmd|' /C calc'!A0"}`)
	w := ask(t, c, "acme", "GET", "/contacts/export.csv", "", "")
	lines, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(lines) != 9 {
		t.Fatalf("got %d lines, %v; want 9", len(lines), err)
	}
	if got := lines[1][len(lines[1])-1]; got != "'=cmd|' /C calc'!A0" {
		t.Errorf("the formula became %q", got)
	}
}

func TestAFileComesBackAsItWent(t *testing.T) {
	c := newCRM(t)
	send := func(size int) *httptest.ResponseRecorder {
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		part, _ := m.CreateFormFile("file", `C:\plans\offer.pdf`)
		part.Write(bytes.Repeat([]byte{0, 0xff}, size/2))
		m.Close()
		return ask(t, c, "acme", "POST", "/files", m.FormDataContentType(), b.String())
	}
	if w := send(5000); w.Code != 303 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if w := send(maxFile + 2); w.Code != 413 {
		t.Errorf("a file that is too large: got %d, want 413", w.Code)
	}
	up := c.books["acme"].files[0]
	w := ask(t, c, "acme", "GET", "/files/"+up.ID, "", "")
	if !bytes.Equal(w.Body.Bytes(), bytes.Repeat([]byte{0, 0xff}, 2500)) || !strings.Contains(w.Header().Get("Content-Disposition"), "offer.pdf") || strings.Contains(w.Header().Get("Content-Disposition"), "plans") {
		t.Errorf("got %d bytes as %s", w.Body.Len(), w.Header().Get("Content-Disposition"))
	}
	if w := ask(t, c, "globex", "GET", "/files/"+up.ID, "", ""); w.Code != 404 {
		t.Errorf("another tenant gets the file: %d", w.Code)
	}
}

func TestTheStreamTellsTheTenantsChangesAlone(t *testing.T) {
	c := newCRM(t)
	srv := httptest.NewServer(c)
	defer srv.Close()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/events", nil)
	r.Header.Set("X-Tenant-ID", "acme")
	res, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	next := func() (event string) {
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return err.Error()
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				return strings.TrimSpace(data)
			}
		}
	}
	if got := next(); got != "{}" {
		t.Fatalf("the first event is %q", got)
	}
	ask(t, c, "globex", "PATCH", "/api/contacts/c-2001", asJSON, `{"title":"secret"}`)
	ask(t, c, "acme", "PATCH", "/api/contacts/c-1001", asJSON, `{"title":"open"}`)
	var n notice
	if err := json.Unmarshal([]byte(next()), &n); err != nil || n.Action != "update" || n.ID != "c-1001" || n.By != "mia@acme.example" {
		t.Errorf("got %+v, %v", n, err)
	}
	c.Reset()
	if got := next(); got != io.EOF.Error() {
		t.Errorf("after Reset the stream goes on with %q", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := newCRM(t)
	b := c.books["initech"]
	contact := c.kinds[0]
	for len(b.records["contact"]) < maxRecords {
		b.records["contact"] = append(b.records["contact"], &record{})
	}
	if _, err := b.create(contact, map[string]string{"name": "x", "email": "x@y.example"}, "", time.Now()); err == nil {
		t.Error("one record more than the bound was taken")
	}
	if err := change(b.settings, settingFields(), map[string]string{"company": strings.Repeat("x", maxValue+1)}, "", time.Now()); err == nil {
		t.Error("a value longer than the bound was taken")
	}
	for range maxListeners {
		c.feed.listen("acme")
	}
	if w := ask(t, c, "acme", "GET", "/events", "", ""); w.Code != 503 {
		t.Errorf("one listener more than the bound: got %d, want 503", w.Code)
	}
}
