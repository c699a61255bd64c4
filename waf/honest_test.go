package waf

import (
	"testing"

	"github.com/sallyport/sallyport/access"
)

// sessionToken looks like our own: EdDSA JWT.
const sessionToken = "eyJhbGciOiJFZERTQSIsImtpZCI6IjAxOTciLCJ0eXAiOiJKV1QifQ." +
	"eyJpc3MiOiJodHRwczovL2NybS5leGFtcGxlLmNvbSIsInN1YiI6ImFsaWNlIiwiYXVkIjoiY3JtIiwiZXhwIjoxNzY0MDAwMDAwLCJ0ZW5hbnQiOiJhY21lIn0." +
	"c2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmUtc2lnbmF0dXJlLXNpZ25hdHVyZS1zaWduYXR1cmU_-AA"

// everybody is what any site must let pass, whatever the preset.
var everybody = map[string]request{
	"a page":          {target: "/contacts?page=2&sort=-created&q=smith+%26+sons"},
	"a session":       {header: map[string]string{"Cookie": "__Host-sallyport=" + sessionToken + "; __Host-sallyport-refresh=" + sessionToken + "; theme=dark"}},
	"a bearer":        {header: map[string]string{"Authorization": "Bearer " + sessionToken}},
	"basic":           {header: map[string]string{"Authorization": "Basic YWRhOlMzY3JldC1QYXNzdzByZCE="}},
	"curl":            {header: map[string]string{"User-Agent": "curl/8.5.0", "Accept": "*/*"}},
	"an application":  {header: map[string]string{"User-Agent": "Go-http-client/1.1"}},
	"an event stream": {target: "/events", header: map[string]string{"Accept": "text/event-stream", "Cache-Control": "no-cache", "Last-Event-Id": "42"}},
	"a WebSocket": {target: "/ws", header: map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Version": "13",
		"Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-Websocket-Extensions": "permessage-deflate; client_max_window_bits"}},
	"Chrome": {header: map[string]string{"Sec-Ch-Ua": `"Google Chrome";v="131", "Chromium";v="131", "Not_A Brand";v="24"`,
		"Sec-Ch-Ua-Platform": `"Linux"`, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Origin": "https://crm.example.com",
		"Referer": "https://crm.example.com/contacts?q=a%20b&page=2", "Priority": "u=1, i", "If-None-Match": `W/"abc-123"`}},
	"a range":       {target: "/files/a.pdf", header: map[string]string{"Range": "bytes=0-1023"}},
	"a preflight":   {method: "OPTIONS", header: map[string]string{"Origin": "https://app.example.com", "Access-Control-Request-Method": "PATCH"}},
	"a deletion":    {method: "DELETE", target: "/api/contacts/42"},
	"an empty POST": {method: "POST", target: "/.sallyport/logout"},
	"an update": {method: "PUT", target: "/api/contacts/42", typ: "application/json",
		body: `{"name":"Seán O'Brien","email":"sean@example.com","notes":"Called on Monday; wants a quote for 3 units @ €40 & delivery."}`},
	"a merge patch": {method: "PATCH", target: "/api/deals/7", typ: "application/merge-patch+json", body: `{"stage":"won","amount":12000.50,"close":null,"tags":["vip","eu"]}`},
	"a sequence": {target: "/api/sequences", typ: "application/json",
		body: `{"name":"Onboarding","steps":[{"wait":"3d","subject":"Welcome, {{first_name}}!","body":"Hi there, thanks for joining us."}]}`},
	"an empty object":             jsonRequest(`{}`),
	"JSON with a byte order mark": jsonRequest("\ufeff{\"name\":\"Ada\"}"),
	"an empty JSON body":          jsonRequest(""),
	"an integration":              jsonRequest(`{"kind":"webhook","url":"https://hooks.example.com/services/T000/B000/XXXX","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw","events":["deal.won"]}`),
	"billing":                     jsonRequest(`{"plan":"pro","seats":25,"vat":"DE123456789","address":{"street":"Hauptstr. 1","city":"Köln"}}`),
	"permissions":                 jsonRequest(`{"role":"admin","user":"u_42","permissions":["contacts:read","contacts:write","billing:*"]}`),
	"a password":                  jsonRequest(`{"current":"correct horse battery staple","new":"Tr0ub4dor&3"}`),
	"a large body announced":      {target: "/api/contacts", typ: "application/json", header: map[string]string{"Expect": "100-continue"}, body: `{"a":"b"}`},
	"a path with spaces":          {target: "/files/Quarterly%20report%20(final).pdf"},
	"a path with umlauts":         {target: "/firmen/M%C3%BCller%20%26%20S%C3%B6hne%20GmbH"},
	"a name with apostrophe":      {target: "/people/O%27Brien"},
	"words that are commands":     {target: "/api/time/who/id/history/export/find/cat"},
	"an asset":                    {target: "/static/app.9f8e7d.js?v=1.2.3"},
	"a login's return":            {target: "/.sallyport/oidc/callback?code=SplxlOBeZQQYbYS6WxSbIA&state=af0ifjsldkj-9_x&iss=https%3A%2F%2Fidp.example.com"},
	"a login's way back":          {target: "/.sallyport/login?rd=%2Fcontacts%3Fpage%3D2"},
	"a SAML answer": {target: "/.sallyport/saml/acme/acs", typ: "application/x-www-form-urlencoded",
		body: "SAMLResponse=PHNhbWxwOlJlc3BvbnNlIHhtbG5zOnNhbWxwPSJ1cm46b2FzaXMiPjxzYW1sOkFzc2VydGlvbj54PC9zYW1sOkFzc2VydGlvbj48L3NhbWxwOlJlc3BvbnNlPg%3D%3D&RelayState=abc"},
	"a binary upload": {method: "PUT", target: "/upload/1", typ: "application/octet-stream", body: "\x00\x01\x02 binary ' or 1=1--"},
	"an RTF upload":   {method: "PUT", target: "/upload/1", typ: "application/octet-stream", body: `{\rtf1\ansi hello}`},
	"a SOAP call": {target: "/soap.php", typ: "text/xml; charset=utf-8", header: map[string]string{"Soapaction": `"urn:get_entry_list"`},
		body: `<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><get_entry_list><session>abc</session><module_name>Contacts</module_name></get_entry_list></s:Body></s:Envelope>`},
	"an upload whose content is nobody's business": {target: "/upload.php", typ: "multipart/form-data; boundary=" + boundary,
		body: multipartOf(fieldPart("token", "abc"), filePart("file", "Angebot Müller.pdf", "%PDF-1.4 <script>alert(1)</script> ' union select"))},
	// Tryton 6.0, JSON-RPC.
	"Tryton's login": {target: "/crm/", typ: "application/json", body: `{"id":0,"method":"common.db.login","params":["admin",{"password":"admin"},"en"]}`},
	"Tryton's search": {target: "/crm/", typ: "application/json", header: map[string]string{"Authorization": "Session YWRtaW46MTo4ZjM0NTY3ODkwYWJjZGVm"},
		body: `{"id":12,"method":"model.party.party.search_read","params":[["OR",["name","ilike","%foo%"],["code","=","42"],["active","in",[true,false]]],0,1000,[["name","ASC"],["id",null]],["name","lang.rec_name","_timestamp"],{"language":"en","locale":{"date":"%m/%d/%Y","grouping":[3,3,0]}}]}`},
	"Tryton's write": {target: "/crm/", typ: "application/json",
		body: `{"id":14,"method":"model.party.party.write","params":[[1],{"name":"Dunder & Mifflin, Inc.","addresses":[["create",[{"street":"1725 Slough Ave.\nSuite 200","city":"Scranton"}]]]},{"language":"en"}]}`},
	"Tryton's attachment": {target: "/crm/", typ: "application/json",
		body: `{"id":15,"method":"model.ir.attachment.create","params":[[{"name":"a.pdf","data":{"__class__":"bytes","base64":"JVBERi0xLjQKJeLjz9MKMyAwIG9iago8PC9UeXBlL1BhZ2U="},"resource":"party.party,1"}],{}]}`},
	// An old PHP application.
	"PHP's login": {target: "/index.php?mainmenu=home", typ: "application/x-www-form-urlencoded",
		header: map[string]string{"Cookie": "PHPSESSID=9q8w7e6r5t4y3u2i1o0p", "Referer": "https://crm.example.com/index.php"},
		body:   "token=8a7b6c&username=admin&password=S3cret%21+pass&actionlogin=login"},
	"PHP's delete": {target: "/deals/card.php?id=3&action=confirm_delete&confirm=yes&token=8a7b6c"},
	"PHP's card":   {target: "/societe/card.php?socid=12&action=edit&backtopage=%2Fsociete%2Flist.php%3Fpage%3D2"},
	"PHP's form": formRequest("action=update&id=3&lastname=O%27Brien&firstname=Se%C3%A1n&email=sean%40example.com&url=https%3A%2F%2Fwww.example.com%2Fabout%3Fx%3D1" +
		"&address=12+High+St.%0D%0ALondon&note_public=Met+at+the+fair%3B+call+back+on+Tuesday.&options%5Bvip%5D=1&save=Save"),
	"PHP's import": {target: "/import.php", typ: "text/csv", body: "name;email;phone\nAda;ada@example.com;+44 20\nBob \"The Builder\";bob@example.com;555-1234\n"},
	// PocketBase.
	"PocketBase's login": {target: "/api/collections/users/auth-with-password", typ: "application/json", body: `{"identity":"ada@example.com","password":"S3cret-Passw0rd!"}`},
	"PocketBase's list":  {target: "/api/collections/contacts/records?page=1&perPage=30&sort=-created&expand=company,owner&skipTotal=1&fields=id,name"},
	"PocketBase's file":  {target: "/api/files/contacts/rec123/photo_abc.png?thumb=100x100&token=" + sessionToken},
}

// crmOnly is what preset crm lets pass besides.
var crmOnly = map[string]request{
	"PocketBase's filter":         {target: "/api/collections/contacts/records?filter=(name~%27Ada%27%20%26%26%20status%3D%27open%27)"},
	"PocketBase's other filter":   {target: "/api/collections/contacts/records?filter=%28id%3D%27abc123%27+%7C%7C+id%3D%27def456%27%29&perPage=500"},
	"PocketBase's subscription":   {target: "/api/realtime", typ: "application/json", body: `{"clientId":"0nQ3f8kz","subscriptions":["contacts/*"]}`},
	"PocketBase's access rules":   {target: "/api/collections", typ: "application/json", body: `{"name":"contacts","listRule":"@request.auth.id != ''","viewRule":null}`},
	"a file of O'Brien's":         {target: "/upload.php", typ: "multipart/form-data; boundary=" + boundary, body: multipartOf(filePart("file", "O'Brien offer; final.pdf", "%PDF"))},
	"a record named by an e-mail": {target: "/api/contacts/bob@example.com"},
	"a piece of an upload":        {method: "PUT", target: "/upload/1", typ: "application/octet-stream", header: map[string]string{"Content-Range": "bytes 0-99/200"}, body: "\x00\x01"},
}

func TestHonestTrafficPasses(t *testing.T) {
	for preset, traffic := range map[string][]map[string]request{"": {everybody}, "crm": {everybody, crmOnly}} {
		e := shared(t, Config{Preset: preset})
		for _, requests := range traffic {
			for name, q := range requests {
				ex := q.exchange(t)
				if err := through(e, ex); err != nil {
					t.Errorf("preset %q: %s: %v", preset, name, err)
				}
			}
		}
	}
}

func TestAHostThatIsAnAddressIsNoAnomaly(t *testing.T) {
	ex := request{}.exchange(t)
	ex.Request.Host = "127.0.0.1:8443"
	if err := shared(t, Config{}).InspectHead(ex); err != nil || len(ex.Findings) > 0 {
		t.Errorf("got %v, findings %v", err, ex.Findings)
	}
}

func TestPresetCRMIsNeededForWhatItLetsPass(t *testing.T) {
	for name, q := range crmOnly {
		if err := through(shared(t, Config{}), q.exchange(t)); code(err) != "waf_blocked" {
			t.Errorf("%s passes without the preset (%v): its exclusion could go", name, err)
		}
	}
}

func TestPresetCRMStillRefusesAttacks(t *testing.T) {
	e := shared(t, Config{Preset: "crm"})
	for name, q := range map[string]request{
		"anywhere":                {target: sqli},
		"in PocketBase's filter":  {target: "/api/collections/contacts/records?filter=1%27%20union%20select%20password%20from%20users--"},
		"beside the filter":       {target: "/api/collections/contacts/records?sort=x%27%20or%20%271%27=%271"},
		"in a filter elsewhere":   {target: "/contacts?filter=x%27%20or%20%271%27=%271"},
		"in a subscription":       {target: "/api/realtime", typ: "application/json", body: `{"subscriptions":["<script>alert(1)</script>"]}`},
		"beside the subscription": {target: "/api/realtime", typ: "application/json", body: `{"clientId":"x' or '1'='1"}`},
		"in a file's name":        {typ: "multipart/form-data; boundary=" + boundary, body: multipartOf(filePart("f", "<img src=x onerror=alert(1)>.png", "x"))},
		"a PHP file":              {typ: "multipart/form-data; boundary=" + boundary, body: multipartOf(filePart("f", "shell.php", "x"))},
		"a database dump":         {target: "/backup.sql"},
	} {
		if err := through(e, q.exchange(t)); code(err) != "waf_blocked" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestOnlyOurOwnLoginPagesMayNameAnIssuerOnLoopback(t *testing.T) {
	e := shared(t, Config{})
	for _, iss := range []string{"https%3A%2F%2F127.0.0.1%3A9443", "http%3A%2F%2Flocalhost%3A9000"} {
		target := "/.sallyport/oidc/callback?code=S&state=a&iss=" + iss
		ours := request{target: target}.exchange(t)
		ours.Route = access.Route{Class: access.Portal, Endpoint: &access.Endpoint{Path: "oidc/callback"}}
		if err := e.InspectHead(ours); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		if err := e.InspectHead(request{target: target}.exchange(t)); code(err) != "waf_blocked" {
			t.Errorf("%s on a route of the application: got %v", target, err)
		}
		other := request{target: "/.sallyport/login?rd=" + iss}.exchange(t)
		other.Route = ours.Route
		if err := e.InspectHead(other); code(err) != "waf_blocked" {
			t.Errorf("another parameter of a login page: got %v", err)
		}
	}
}
