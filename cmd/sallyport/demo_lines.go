package main

import (
	"strings"

	"github.com/sallyport/sallyport/demo"
)

// demoFacts is what a person or a program needs to know about a running demo.
type demoFacts struct {
	URL    string            `json:"url"`
	CA     string            `json:"ca"`
	Dir    string            `json:"dir"`
	Config string            `json:"config"`
	Log    string            `json:"log"`
	Ops    string            `json:"ops"`
	App    string            `json:"app"`
	IdP    map[string]string `json:"idp"`
	Users  []demo.User       `json:"users"`
	Try    []demoLine        `json:"try"`
	Attack []demoLine        `json:"attacks"`
}

// demoLine is a command to try, and what will happen.
type demoLine struct {
	Title string `json:"title"`
	// Line is for a shell in the demo's folder.
	Line   string `json:"line"`
	Status int    `json:"status"`
	// Code is the gateway's reason; "" when the application has answered.
	Code string `json:"code,omitempty"`
	Why  string `json:"why"`
	// Shows is a part of the answer, where that is the point.
	Shows string `json:"shows,omitempty"`
}

func (h *demoHouse) facts() demoFacts {
	f := demoFacts{
		URL: h.origin, CA: h.path("ca.pem"), Dir: h.dir, Config: h.path("sallyport.yaml"), Log: h.path("gateway.log"),
		Ops: "http://" + h.rt.edge.Addrs().Ops.String(), App: h.addrs.app, IdP: map[string]string{}, Users: h.idp.Users(),
	}
	for _, t := range demo.Tenants() {
		f.IdP[t.ID] = h.idp.Client(t.ID).Issuer
	}
	fill := strings.NewReplacer("{url}", h.origin, "{app}", h.addrs.app)
	f.Try, f.Attack = demoTry(), demoAttacks()
	for _, lines := range [][]demoLine{f.Try, f.Attack} {
		for i := range lines {
			lines[i].Line = fill.Replace(lines[i].Line)
		}
	}
	return f
}

// demoTry is honest work.
func demoTry() []demoLine {
	return []demoLine{
		{Title: "A viewer reads", Line: `curl -K acme-viewer {url}/api/contacts/c-1001`, Status: 200, Why: "viewers read everything of the CRM", Shows: `"tenant_id":"acme"`},
		{Title: "A member edits", Line: `curl -K acme-member -X PATCH -H 'Content-Type: application/json' -d '{"title":"Chief Buyer"}' {url}/api/contacts/c-1001`, Status: 200,
			Why: "and an audit event is written before the application sees it", Shows: `"title":"Chief Buyer"`},
		{Title: "An admin deletes by an old page's GET", Line: `curl -K acme-admin '{url}/deals/card?action=confirm_delete&id=d-1006'`, Status: 303,
			Why: "the route's parameter says that this GET is a deletion: it is decided, and recorded, as one"},
		{Title: "Who am I?", Line: `curl -K globex-member {url}/.sallyport/whoami`, Status: 200, Why: "the gateway's own view of the session", Shows: `"tenant":"globex"`},
	}
}

// demoAttacks are in the order in which they are printed. The leaver's two come last and
// in this order.
func demoAttacks() []demoLine {
	return []demoLine{
		{Title: "The application alone, without the gateway", Line: `curl -sS -H 'X-Tenant-ID: globex' {app}/api/contacts/c-2001`, Status: 200,
			Why: "it believes whoever asks: this is Globex's data, for anybody", Shows: "Confidential"},
		{Title: "Without a login", Line: `curl -sS --cacert ca.pem {url}/api/contacts`, Status: 401, Code: "not_logged_in", Why: "a program gets a reason, a browser the way to the login"},
		{Title: "Another tenant, by the header", Line: `curl -K acme-member -H 'X-Tenant-ID: globex' {url}/api/contacts/c-2001`, Status: 404,
			Why: "the header is thrown away; the application looks among Acme's contacts and finds none", Shows: "there is no such contact"},
		{Title: "The same in a spelling that many backends take for it", Line: `curl -K acme-member -H 'X_Tenant_ID: globex' {url}/debug/request`, Status: 200,
			Why: "every spelling is thrown away; this page shows what arrives", Shows: `"X-Tenant-Id":["acme"]`},
		{Title: "Another tenant, by the query", Line: `curl -K acme-member '{url}/api/contacts?tenant_id=globex'`, Status: 403, Code: "tenant_mismatch", Why: "the tenant comes from the login alone"},
		{Title: "Another tenant, by a JSON field",
			Line:   `curl -K acme-member -H 'Content-Type: application/json' -d '{"name":"Mallory","email":"m@evil.example","tenant_id":"globex"}' {url}/api/contacts`,
			Status: 403, Code: "tenant_mismatch", Why: "at any depth"},
		{Title: "The same with the key twice",
			Line:   `curl -K acme-member -H 'Content-Type: application/json' -d '{"name":"Mallory","email":"m@evil.example","tenant_id":"acme","tenant_\u0069d":"globex"}' {url}/api/contacts`,
			Status: 400, Code: "body_malformed", Why: "two parsers could read it in two ways"},
		{Title: "A viewer who says that he is the owner", Line: `curl -K acme-viewer -H 'X-User-Email: owner@acme.example' -H 'X-User-Roles: owner' {url}/debug/request`, Status: 200,
			Why: "the headers that arrive are the gateway's", Shows: `"X-User-Roles":["viewer"]`},
		{Title: "A viewer who writes", Line: `curl -K acme-viewer -X PATCH -H 'Content-Type: application/json' -d '{"title":"Mine"}' {url}/api/contacts/c-1001`, Status: 403, Code: "not_permitted",
			Why: "viewers read"},
		{Title: "A member who deletes", Line: `curl -K acme-member '{url}/deals/card?action=confirm_delete&id=d-1001'`, Status: 403, Code: "not_permitted",
			Why: "be it by the GET of an old page; the attempt is audited"},
		{Title: "An admin who looks at the billing", Line: `curl -K acme-admin {url}/api/billing`, Status: 403, Code: "not_permitted", Why: "billing is the owner's"},
		{Title: "SQL injection", Line: `curl -K acme-member '{url}/api/contacts?q=x%27%20UNION%20SELECT%20email,password%20FROM%20users--%20'`, Status: 403, Code: "waf_blocked",
			Why: "OWASP Core Rule Set"},
		{Title: "A way around, through a public folder", Line: `curl -K acme-viewer --path-as-is {url}/static/../api/billing`, Status: 400, Code: "path_ambiguous", Why: "such a path has two readings"},
		{Title: "The same, encoded", Line: `curl -K acme-viewer {url}/static/..%2fapi/billing`, Status: 400, Code: "path_ambiguous", Why: "in every spelling"},
		{Title: "Another web site that uses the owner's cookies",
			Line:   `curl -sS --cacert ca.pem -b acme-owner.jar -H 'Origin: https://evil.example' -X DELETE {url}/api/contacts/c-1002`,
			Status: 403, Code: "cross_origin", Why: "the browser says where a request comes from"},
		{Title: "Log out …", Line: `curl -K acme-leaver -X POST {url}/.sallyport/logout`, Status: 303, Why: "the session ends, here and everywhere"},
		{Title: "… and use the cookie again", Line: `curl -K acme-leaver {url}/api/contacts`, Status: 401, Code: "session_ended", Why: "logout is logout; open event streams are cut as well"},
	}
}
