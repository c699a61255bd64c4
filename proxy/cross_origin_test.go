package proxy

import (
	"net/http"
	"testing"

	"github.com/sallyport/sallyport/access"
)

func TestCrossOrigin(t *testing.T) {
	for _, c := range []struct {
		name, method, target string
		header               http.Header
		status               int
	}{
		{"a read from another site", "GET", "/api/contacts/7", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 200},
		{"a write from here", "POST", "/api/contacts", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"https://crm.test"}}, 200},
		{"a write from another site", "POST", "/api/contacts", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"a write from a sibling host", "POST", "/api/contacts", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
		{"a write with a foreign origin", "POST", "/api/contacts", http.Header{"Origin": {"https://evil.test"}}, 403},
		{"a write with a null origin", "POST", "/api/contacts", http.Header{"Origin": {"null"}}, 403},
		{"a write with our origin over http", "POST", "/api/contacts", http.Header{"Origin": {"http://crm.test"}}, 403},
		{"a write with our origin on another port", "POST", "/api/contacts", http.Header{"Origin": {"https://crm.test:8443"}}, 403},
		{"a write without any sign", "POST", "/api/contacts", nil, 403},
		{"a write with our referer", "POST", "/api/contacts", http.Header{"Referer": {"https://crm.test/x"}}, 200},
		{"a write with a foreign referer", "POST", "/api/contacts", http.Header{"Referer": {"https://crm.test.evil/x"}}, 403},
		{"same-origin with a foreign origin", "POST", "/api/contacts", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"https://evil.test"}}, 403},
		{"a legacy delete by GET from another site", "GET", "/deals/card.php?action=confirm_delete", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"a legacy delete by GET from here", "GET", "/deals/card.php?action=confirm_delete", http.Header{"Sec-Fetch-Site": {"same-origin"}}, 200},
		{"a legacy delete by a link in a mail", "GET", "/deals/card.php?action=confirm_delete", http.Header{"Sec-Fetch-Site": {"none"}}, 403},
		{"a page by a link in a mail", "GET", "/deals/card.php?id=3", http.Header{"Sec-Fetch-Site": {"none"}}, 200},
		{"a form that is sent again after a restart of the browser", "POST", "/api/contacts", http.Header{"Sec-Fetch-Site": {"none"}, "Origin": {"https://crm.test"}}, 200},
		{"a search by POST from another site", "POST", "/api/search", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"the callback from the identity provider", "GET", "/.sallyport/callback", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 200},
		{"a logout from another site", "POST", "/.sallyport/logout", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"an allowed origin", "POST", "/api/contacts", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://app.example.com"}}, 200},
	} {
		h := newHouse(t, func(cfg *Config, _ *Rooms) { cfg.Sites[0].CORS.Origins = []string{"https://app.example.com"} })
		r := request(c.method, c.target, "")
		r.Header = c.header.Clone()
		if r.Header == nil {
			r.Header = http.Header{}
		}
		if w := h.do(r); w.Code != c.status || (c.status != 200 && h.hits.Load() != 0) {
			t.Errorf("%s: %d, %d hits; want %d", c.name, w.Code, h.hits.Load(), c.status)
		}
	}
}

func TestAnUpgradeFromAnotherSiteIsRefused(t *testing.T) {
	for site, want := range map[string]bool{"same-origin": true, "cross-site": false} {
		h := newHouse(t, func(cfg *Config, _ *Rooms) { cfg.Sites[0].WebSocket = "opaque" })
		r := request("GET", "/live", "")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-Fetch-Site", site)
		ex, err := located(h, r)
		if err != nil {
			t.Fatal(err)
		}
		ex.Credential = access.CookieCredential
		if err := h.plan.crossOrigin(h.plan.dies.crossOrigin)(ex); (err == nil) != want {
			t.Errorf("%s: %v", site, err)
		}
	}
}

func TestABearerIsNotCookieBorne(t *testing.T) {
	h := newHouse(t, func(_ *Config, r *Rooms) {
		authn := r.Authn
		r.Authn = fakeAuthn(func(ex *access.Exchange) error {
			err := authn.Authenticate(ex)
			ex.Credential = access.BearerCredential
			return err
		})
	})
	r := request("POST", "/api/contacts", "a=1")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if w := h.do(r); w.Code != 200 {
		t.Errorf("got %d", w.Code)
	}
}

func TestTenantOfPathAndQuery(t *testing.T) {
	for _, c := range []struct {
		target string
		status int
	}{
		{"/t/acme/reports/1", 200}, {"/t/globex/reports/1", 403}, {"/t/ACME/reports/1", 403},
		{"/api/contacts?tenant_id=acme", 200}, {"/api/contacts?tenant_id=globex", 403}, {"/api/contacts?tenant_id=", 403},
		{"/api/contacts?Tenant-ID=globex", 403}, {"/api/contacts?tenant.id=globex", 403}, {"/api/contacts?tenant_id[]=globex", 403},
		{"/api/contacts?tenant_id[x]=globex", 403}, {"/api/contacts?%74enant_id=globex", 403}, {"/api/contacts?tenant%5Fid=globex", 403},
		{"/api/contacts?other=globex", 200},
	} {
		h := newHouse(t, nil)
		w := h.do(request("GET", c.target, ""))
		if w.Code != c.status || (c.status == 403) != (h.hits.Load() == 0) {
			t.Errorf("%s: %d, %d hits; want %d", c.target, w.Code, h.hits.Load(), c.status)
		}
		if c.status == 403 && (len(h.audit.refused) != 1 || h.audit.refused[0].Code != "tenant_mismatch" || h.audit.refused[0].Counted) {
			t.Errorf("%s: the audit log got %v", c.target, h.audit.refused)
		}
	}
}

func TestTenantAsFirstPathElement(t *testing.T) {
	for target, status := range map[string]int{"/acme-db/x": 200, "/acme/x": 403, "/globex-db/x": 403, "/": 403, "/x/acme-db": 403} {
		h := newHouse(t, func(cfg *Config, _ *Rooms) {
			cfg.Sites[0].Tenant.PathElement, cfg.Sites[0].Tenant.PathNames = true, map[string]string{"acme": "acme-db", "globex": "globex-db"}
		})
		if w := h.do(request("GET", target, "")); w.Code != status {
			t.Errorf("%s: %d, want %d", target, w.Code, status)
		}
	}
}
