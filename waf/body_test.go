package waf

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

// reading gives the values that the rules see of a body, "name=value" and sorted,
// and what stopped the reading.
func reading(t testing.TB, c Config, q request) ([]string, error) {
	t.Helper()
	e := shared(t, c)
	ex := q.exchange(t)
	var seen []string
	var stopped error
	e.judge(t.Context(), headOf(ex), func(ctx context.Context, tx *transaction) error {
		stopped = e.readBody(ex)(ctx, tx)
		for _, d := range tx.vars.ArgsPost().FindAll() {
			seen = append(seen, d.Key()+"="+d.Value())
		}
		return stopped
	})
	slices.Sort(seen)
	return seen, stopped
}

func TestValuesThatRulesSee(t *testing.T) {
	const multipartType = "multipart/form-data; boundary=" + boundary
	for _, c := range []struct {
		name string
		q    request
		want []string
	}{
		{"JSON of every kind", jsonRequest(`{"a":"x","b":[1,true,null,{"c":"\u0041\n"}],"e":{},"f":[]}`),
			[]string{"json.a=x", "json.b.0=1", "json.b.1=true", "json.b.2=null", "json.b.3.c=A\n", "json.e=", "json.f="}},
		{"members with one key", jsonRequest(`{"a":1,"A":2,"a":3}`), []string{"json.A=2", "json.a=1", "json.a=3"}},
		{"nested arrays", jsonRequest(`[[1],[[2]],[]]`), []string{"json.0.0=1", "json.1.0.0=2", "json.2="}},
		{"a long number as it stands", jsonRequest(`2.2250738585072011e-308`), []string{"json=2.2250738585072011e-308"}},
		{"a form", formRequest("a=1&a=2&b%5B%5D=x+y%21&&c&=nameless&d=%zz&e=a;b=c"),
			[]string{"a=1", "a=2", "b[]=x y!", "c=", "d=%zz", "e=a;b=c", "nameless.5=nameless"}},
		{"XML", xmlRequest(`<r xmlns:n="urn:x" n:a="1">t<n:b c='2'> u </n:b>v<!--w--><?p q?></r>`),
			[]string{"xml.comment=w", "xml.instruction=p q", "xml.r.a=1", "xml.r.b.c=2", "xml.r.b=u", "xml.r.n=urn:x", "xml.r=tv"}},
		{"multipart", request{typ: multipartType, body: multipartOf(fieldPart("a", "1"), filePart("f", "x.pdf", "content"), fieldPart("a", "2"), fieldPart("", "3"))},
			[]string{"a=1", "a=2", "f.filename=x.pdf", "nameless.4=3"}},
		{"text that is no JSON", request{typ: "text/plain", body: "a=1&b"}, []string{"body=a=1&b"}},
		{"text that is JSON", request{typ: "text/plain; charset=utf-8", body: `{"a":1}`}, []string{`body={"a":1}`, "json.a=1"}},
		{"text that begins as JSON", request{typ: "text/plain", body: `{"a":1,!`}, []string{`body={"a":1,!`, "json.a=1"}},
		{"JSON by its suffix", request{typ: "application/vnd.api+json", body: `{"a":1}`}, []string{"json.a=1"}},
		{"binary", request{typ: "application/octet-stream", body: "\x00{"}, nil},
		{"binary that is JSON", request{typ: "application/octet-stream", body: "\n[7]\x00"}, []string{"json.0=7"}},
		{"nothing at all", jsonRequest("  \n"), nil},
	} {
		got, err := reading(t, Config{}, c.q)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q, %v\nwant %q", c.name, got, err, c.want)
		}
	}
}

func TestBodiesThatCannotBeReadInOneWayAreRefused(t *testing.T) {
	const multipartType = "multipart/form-data; boundary=b"
	ok := "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n"
	part := func(header string) string { return "--b\r\n" + header + "\r\n\r\n1\r\n--b--\r\n" }
	cases := map[string]request{
		"JSON cut short":                         jsonRequest(`{"a":1`),
		"JSON with a comma too many":             jsonRequest(`{"a":1,}`),
		"JSON with a comma too many in an array": jsonRequest(`[1,]`),
		"JSON in single quotes":                  jsonRequest(`{'a':1}`),
		"JSON with a comment":                    jsonRequest(`{"a":1}//x`),
		"two JSON values":                        jsonRequest(`{} {}`),
		"two JSON scalars":                       jsonRequest(`1 2`),
		"JSON that is none":                      jsonRequest(`name=Ada`),
		"JSON in UTF-16":                         jsonRequest("{\x00\"\x00a\x00\"\x00:\x001\x00}\x00"),
		"JSON with bytes that are no UTF-8":      jsonRequest("{\"a\":\"\xff\"}"),
		"JSON with a closing bracket":            jsonRequest(`]`),
		"XML cut short":                          xmlRequest(`<a><b>`),
		"XML with two roots":                     xmlRequest(`<a/><b/>`),
		"XML with text around":                   xmlRequest(`<a/>x`),
		"XML without a root":                     xmlRequest(``),
		"XML that does not nest":                 xmlRequest(`<a><b></a></b>`),
		"XML in another encoding":                {typ: "text/xml", body: `<?xml version="1.0" encoding="UTF-7"?><a/>`},
		"XML with an unknown entity":             xmlRequest(`<a>&x;</a>`),
		"XXE":                                    xmlRequest(`<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`),
		"a billion laughs":                       xmlRequest(`<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><l>&b;</l>`),
		"multipart without boundary":             {typ: "multipart/form-data", body: ok},
		"multipart with two boundaries":          {typ: "multipart/form-data; boundary=b; boundary=c", body: ok},
		"multipart with extended boundary":       {typ: "multipart/form-data; boundary*=utf-8''b", body: ok},
		"multipart with a long boundary":         {typ: "multipart/form-data; boundary=" + strings.Repeat("b", 71), body: strings.ReplaceAll(ok, "--b", "--"+strings.Repeat("b", 71))},
		"multipart of another boundary":          {typ: "multipart/form-data; boundary=c", body: ok},
		"multipart with a preamble":              {typ: multipartType, body: "x\r\n" + ok},
		"multipart with bare line feeds":         {typ: multipartType, body: strings.ReplaceAll(ok, "\r\n", "\n")},
		"multipart cut short":                    {typ: multipartType, body: strings.TrimSuffix(ok, "--b--\r\n")},
		"multipart cut in a header":              {typ: multipartType, body: ok[:20]},
		"a part without disposition":             {typ: multipartType, body: part("X: y")},
		"a part that is no form-data":            {typ: multipartType, body: part(`Content-Disposition: attachment; name="a"`)},
		"a part without a name":                  {typ: multipartType, body: part(`Content-Disposition: form-data; filename="a"`)},
		"a part with two names":                  {typ: multipartType, body: part(`Content-Disposition: form-data; name="a"; name="b"`)},
		"a part with two dispositions":           {typ: multipartType, body: part("Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"")},
		"a part with two types":                  {typ: multipartType, body: part("Content-Disposition: form-data; name=\"a\"\r\nContent-Type: a/b\r\nContent-Type: c/d")},
		"a file with an extended name":           {typ: multipartType, body: part(`Content-Disposition: form-data; name="a"; filename*=utf-8''x.php`)},
		"a file with a name in pieces":           {typ: multipartType, body: part(`Content-Disposition: form-data; name="a"; filename*0="x."; filename*1="php"`)},
		"a file with a backslash":                {typ: multipartType, body: part(`Content-Disposition: form-data; name="a"; filename="x\".php"`)},
		"a type that cannot be read":             {typ: "multipart/form-data; boundary", body: ok},
	}
	for name, q := range cases {
		if err := shared(t, Config{}).InspectBody(q.exchange(t)); code(err) != "waf_malformed" {
			t.Errorf("%s: got %v, want waf_malformed", name, err)
		}
	}
	if err := through(shared(t, Config{}), request{typ: multipartType, body: ok}.exchange(t)); err != nil {
		t.Errorf("the sound multipart body that these were made of: %v", err)
	}
}

func TestADocumentTypeIsRefusedForItself(t *testing.T) {
	for _, doctype := range []string{`<!DOCTYPE a SYSTEM "http://203.0.113.7/x.dtd">`, `<!DOCTYPE a>`, `<!DOCTYPE a [<!ENTITY x "y">]>`} {
		ex := xmlRequest(doctype + `<a/>`).exchange(t)
		if err := through(shared(t, Config{}), ex); code(err) != "waf_malformed" || ex.Findings[0].Rule != int(breachDoctype) {
			t.Errorf("%s: got %v, %v", doctype, err, ex.Findings)
		}
	}
}

func TestWhatIsBeyondTheLimitsIsRefused(t *testing.T) {
	c := Config{Limits: Limits{Arguments: 100, Depth: 10, Files: 3, Head: 4096, Body: 20_000}}
	list := func(n int, item, sep string) string { return strings.Repeat(item+sep, n-1) + item }
	parts := func(n int, p string) string { return multipartOf(slices.Repeat([]string{p}, n)...) }
	const multipartType = "multipart/form-data; boundary=" + boundary
	for _, l := range []struct {
		name         string
		within, over request
		code         string
	}{
		{"query parameters", request{target: "/?" + list(100, "a=1", "&")}, request{target: "/?" + list(101, "a=1", "&")}, "waf_too_large"},
		{"form fields", formRequest(list(100, "a=1", "&")), formRequest(list(101, "a=1", "&")), "waf_too_large"},
		{"JSON values", jsonRequest("[" + list(100, "1", ",") + "]"), jsonRequest("[" + list(101, "1", ",") + "]"), "waf_too_large"},
		{"empty JSON objects", jsonRequest("[" + list(100, "{}", ",") + "]"), jsonRequest("[" + list(101, "{}", ",") + "]"), "waf_too_large"},
		{"multipart fields", request{typ: multipartType, body: parts(100, fieldPart("a", "1"))}, request{typ: multipartType, body: parts(101, fieldPart("a", "1"))}, "waf_too_large"},
		{"files", request{typ: multipartType, body: parts(3, filePart("a", "a.pdf", "1"))}, request{typ: multipartType, body: parts(4, filePart("a", "a.pdf", "1"))}, "waf_too_large"},
		{"XML elements", xmlRequest("<a>" + strings.Repeat("<b/>", 99) + "</a>"), xmlRequest("<a>" + strings.Repeat("<b/>", 100) + "</a>"), "waf_too_large"},
		{"JSON depth", jsonRequest(strings.Repeat("[", 10) + strings.Repeat("]", 10)), jsonRequest(strings.Repeat("[", 11) + strings.Repeat("]", 11)), "waf_too_large"},
		{"XML depth", xmlRequest(strings.Repeat("<a>", 10) + strings.Repeat("</a>", 10)), xmlRequest(strings.Repeat("<a>", 11) + strings.Repeat("</a>", 11)), "waf_too_large"},
		{"bytes of text", request{typ: "text/plain", body: list(10_000, "a", " ")}, request{typ: "text/plain", body: list(10_001, "a", " ")}, "waf_too_large"},
		{"bytes of JSON", jsonRequest(`"` + list(9_990, "a", " ") + `"`), jsonRequest(`"` + list(10_000, "a", " ") + `"`), "waf_too_large"},
		{"bytes of a multipart field", request{typ: multipartType, body: multipartOf(fieldPart("a", list(9_900, "a", " ")))}, request{typ: multipartType, body: multipartOf(fieldPart("a", list(10_001, "a", " ")))}, "waf_too_large"},
		{"bytes of a file, which do not count", request{typ: multipartType, body: multipartOf(filePart("f", "a.pdf", list(100_000, "a", " ")))},
			request{typ: multipartType, body: multipartOf(filePart("f", list(10_001, "a", " "), ""))}, "waf_too_large"},
		{"binary bytes, which do not count", request{typ: "application/octet-stream", body: strings.Repeat("\x01", 100_000)},
			request{typ: "application/octet-stream", body: `["` + list(20_000, "a", " ") + `"]`}, ""},
		{"JSON as binary", request{typ: "application/octet-stream", body: "[" + list(100, "1", ",") + "]"}, request{typ: "application/octet-stream", body: "[1,\"" + list(20_000, "a", " ") + `"]`}, "waf_too_large"},
		{"bytes of the head", request{header: map[string]string{"X-A": strings.Repeat("a ", 1000)}}, request{header: map[string]string{"X-A": strings.Repeat("a ", 2100)}}, "waf_head_too_large"},
		{"cookies", request{header: map[string]string{"Cookie": list(maxCookies, "a=1", ";")}}, request{header: map[string]string{"Cookie": list(maxCookies+1, "a=1", ";")}}, "waf_head_too_large"},
		{"headers", request{header: headers(100)}, request{header: headers(130)}, "waf_head_too_large"},
		{"path segments", request{target: strings.Repeat("/a", maxSegments)}, request{target: strings.Repeat("/a", maxSegments+1)}, "waf_head_too_large"},
	} {
		if err := through(shared(t, c), l.within.exchange(t)); err != nil {
			t.Errorf("%s: within the limit: %v", l.name, err)
		}
		if err := through(shared(t, c), l.over.exchange(t)); code(err) != l.code {
			t.Errorf("%s: over the limit: got %v, want %q", l.name, err, l.code)
		}
	}
}

func headers(n int) map[string]string {
	h := map[string]string{}
	for i := range n {
		h[fmt.Sprintf("X-%d", i)] = "1"
	}
	return h
}

func TestAnAttackBehindAThousandArgumentsIsRefused(t *testing.T) {
	e := shared(t, Config{})
	padding := strings.Repeat("a=1&", 1000)
	for name, q := range map[string]request{
		"query": {target: "/?" + padding + "q=1%27%20union%20select%20password%20from%20users--"},
		"form":  formRequest(padding + "q=1%27%20union%20select%20password%20from%20users--"),
		"JSON":  jsonRequest(`[` + strings.Repeat(`1,`, 1000) + `"1' union select password from users--"]`),
	} {
		if err := through(e, q.exchange(t)); code(err) != "waf_too_large" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Coraza's own limit must refuse as well, should ours ever be passed by.
func TestCorazasArgumentsLimitRefuses(t *testing.T) {
	e := shared(t, Config{Limits: Limits{Arguments: 10}})
	v := e.judge(t.Context(), headOf(request{}.exchange(t)), func(_ context.Context, tx *transaction) error {
		for i := range 11 {
			tx.AddPostRequestArgument(fmt.Sprint(i), "x")
		}
		return nil
	})
	if code(v.refusal) != "waf_too_large" || v.findings[0].Rule != int(breachValues) {
		t.Errorf("got %+v", v)
	}
}

func TestBombsDoNotGrow(t *testing.T) {
	long := strings.Repeat("k", 2000)
	deep := strings.Repeat(`{"`+long+`":`, 40) + `[` + strings.Repeat("1,", 900) + `1]` + strings.Repeat("}", 40)
	for name, q := range map[string]request{
		"long keys over many leaves": jsonRequest(deep), // 80 KB that would be 72 MB of names
		"a deep nest":                jsonRequest(strings.Repeat("[", 100_000)),
		"a wide list":                jsonRequest("[" + strings.Repeat("1,", 100_000) + "1]"),
		"long XML names":             xmlRequest(strings.Repeat("<"+long+">", 40) + strings.Repeat("<b/>", 900) + strings.Repeat("</"+long+">", 40)),
		"many attributes":            xmlRequest("<a" + attributes(20_000) + "/>"),
		"many parts":                 {typ: "multipart/form-data; boundary=" + boundary, body: multipartOf(slices.Repeat([]string{fieldPart("a", "")}, 3000)...)},
		"many part headers":          {typ: "multipart/form-data; boundary=" + boundary, body: multipartOf(partHeaders(5000) + fieldPart("a", ""))},
	} {
		seen, err := reading(t, Config{}, q)
		size := 0
		for _, s := range seen {
			size += len(s)
		}
		c := Config{}.WithDefaults()
		if err == nil || len(seen) > c.Limits.Arguments || size > int(c.Limits.Body) {
			t.Errorf("%s: %d values of %d bytes were taken in, then: %v", name, len(seen), size, err)
		}
	}
}

func attributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` a%d="1"`, i)
	}
	return b.String()
}

func partHeaders(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-Header-Number-%d: %s\r\n", i, strings.Repeat("x", 60))
	}
	return b.String()
}

func TestTypesOfBodies(t *testing.T) {
	e := shared(t, Config{})
	for _, c := range []struct {
		name, typ string
		route     []string
		code      string
	}{
		{"a type of the configuration", "application/json; charset=utf-8", nil, ""},
		{"its name in another case", "Application/JSON", nil, ""},
		{"a type of nobody's", "application/x-java-serialized-object", nil, "waf_media_type"},
		{"a type of the route", "application/pdf", []string{"application/pdf"}, ""},
		{"a type of another route", "image/png", []string{"application/pdf"}, "waf_media_type"},
		{"a route for anything", "image/png", []string{"*/*"}, ""},
		{"a type that cannot be read", "application/json; charset", nil, "waf_malformed"},
		{"no type", "", nil, "waf_blocked"},
	} {
		ex := request{typ: "text/plain", body: "1"}.exchange(t)
		ex.Request.Header.Set("Content-Type", c.typ)
		if c.typ == "" {
			ex.Request.Header.Del("Content-Type")
		}
		ex.Route.Body.Types = c.route
		if err := through(e, ex); code(err) != c.code {
			t.Errorf("%s: got %v, want %q", c.name, err, c.code)
		}
	}
}

func TestTheTypeThatTheBodyWasReadByDecides(t *testing.T) {
	ex := request{typ: "text/plain", body: `{"a":1,}`}.exchange(t)
	ex.Body.MediaType = "application/json"
	if err := shared(t, Config{}).InspectBody(ex); code(err) != "waf_malformed" {
		t.Errorf("got %v, want the refusal of broken JSON", err)
	}
}

func TestAnEncodedBodyIsRefused(t *testing.T) {
	e := shared(t, Config{})
	q := jsonRequest(`{}`)
	q.header = map[string]string{"Content-Encoding": "gzip"}
	ex := q.exchange(t)
	if err := e.InspectHead(ex); err != nil {
		t.Errorf("the head: %v, want it to pass to whoever inflates", err)
	}
	if err := e.InspectBody(ex); code(err) != "waf_media_type" {
		t.Errorf("the body: got %v", err)
	}
	ex.Request.Header.Set("Content-Encoding", "identity")
	if err := e.InspectBody(ex); err != nil {
		t.Errorf("identity: %v", err)
	}
}

func TestShadowModePassesWhatCannotBeInspectedAndSaysSo(t *testing.T) {
	q := jsonRequest(`{"a":1,}`)
	q.mode = access.Shadow
	ex := q.exchange(t)
	if err := through(shared(t, Config{}), ex); err != nil {
		t.Errorf("got %v", err)
	}
	if len(ex.Findings) != 1 || ex.Findings[0].Rule != int(breachJSON) || ex.Findings[0].Blocked {
		t.Errorf("findings %+v, want the broken JSON, unblocked", ex.Findings)
	}
}

func TestEveryBreachSpeaksToPeople(t *testing.T) {
	said := map[string]breach{}
	for b := breachValues; b <= breachHeader; b++ {
		if other, ok := said[b.message()]; ok || b.message() == breach(0).message() {
			t.Errorf("%d has no message of its own: %q, as %d", int(b), b.message(), int(other))
		}
		said[b.message()] = b
		if r := b.refusal(); r.Status < 400 || r.Status >= 500 || r.Code == "" || r.Detail == "" || r.Remedy == "" {
			t.Errorf("%d: refusal %+v", int(b), r)
		}
	}
	e := shared(t, Config{})
	for _, id := range []int{int(breachValues), int(breachTarget)} {
		if e.rules[id].message != breach(id).message() {
			t.Errorf("base.conf calls rule %d %q, we %q", id, e.rules[id].message, breach(id).message())
		}
	}
	for id := range maps.Keys(e.rules) {
		if strings.Contains(e.rules[id].message, "%{") {
			t.Errorf("message of %d holds a macro: %q", id, e.rules[id].message)
		}
	}
}

func FuzzInspectBody(f *testing.F) {
	for _, typ := range []string{"application/json", "text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain", "application/octet-stream"} {
		for _, body := range []string{`{"a":[1,{"b":null}],"c":{}}`, `<a b="c">d<!--e--></a>`, "a=1&=2&%41=%zz", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n", "[[[[", "<![CDATA["} {
			f.Add(typ, []byte(body))
		}
	}
	e := shared(f, Config{})
	f.Fuzz(func(t *testing.T, typ string, body []byte) {
		ex := request{typ: typ, body: string(body)}.exchange(t)
		ex.Body.Present, ex.Body.Open = true, opening(bytes.NewReader(body))
		if err := e.InspectBody(ex); code(err) == "failure" {
			t.Errorf("type %q, body %q: %v", typ, body, err)
		}
	})
}
