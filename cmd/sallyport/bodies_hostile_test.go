package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
)

// withUploads adds a streamed route and a second one that is spooled.
func withUploads(text string) string {
	text = strings.Replace(text, "      resources:\n", "      resources:\n"+
		"        - {type: upload, path: \"/api/files/{id}\"}\n        - {type: upload, path: \"/api/spooled/{id}\"}\n", 1)
	return strings.Replace(text, "      bodies:\n", "      bodies:\n"+
		"        - {path: \"/api/files/**\", types: [multipart/form-data, application/octet-stream], max: 64MiB, stream: true}\n"+
		"        - {path: \"/api/spooled/**\", types: [application/octet-stream], max: 16MiB}\n", 1)
}

func gzipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.String()
}

func deflated(text string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.String()
}

// TestBodiesThatLie: none of these reaches the backend, each is the client's fault, and the
// connection does not serve what stands behind the body as another request.
func TestBodiesThatLie(t *testing.T) {
	g := newWired(t, withUploads)
	cookie := "Cookie: " + g.login(t, "crm", "acme", "alice", "member")
	js, form, gz, deflate := "Content-Type: application/json", "Content-Type: application/x-www-form-urlencoded", "Content-Encoding: gzip", "Content-Encoding: deflate"
	multi := "Content-Type: multipart/form-data; boundary=x"
	foreign := `{"tenant_id":"globex"}`
	bomb := strings.Repeat("0", 60<<20)
	for _, c := range []struct {
		name, target, body, want string
		status                   int
		header                   []string
	}{
		{"another tenant under gzip", "/api/contacts", gzipped(foreign), "tenant_mismatch", 403, []string{js, gz}},
		{"another tenant under deflate", "/api/contacts", deflated(foreign), "tenant_mismatch", 403, []string{js, deflate}},
		{"SQL under gzip", "/api/contacts", gzipped(`{"q":"1' or '1'='1' union select password from users--"}`), "waf_blocked", 403, []string{js, gz}},
		{"a gzip bomb", "/api/contacts", gzipped(bomb), "body_too_large", 413, []string{js, gz}},
		{"a deflate bomb", "/api/contacts", deflated(bomb), "body_too_large", 413, []string{js, deflate}},
		{"a bomb in a stream", "/api/files/1", gzipped(bomb), "body_too_large", 413, []string{"Content-Type: application/octet-stream", gz}},
		{"two members of gzip", "/api/contacts", gzipped(`{"a":1}`) + gzipped(foreign), "body_malformed", 400, []string{js, gz}},
		{"data behind gzip", "/api/contacts", gzipped(`{"a":1}`) + foreign, "body_malformed", 400, []string{js, gz}},
		{"gzip that is none", "/api/contacts", `{"a":1}`, "body_malformed", 400, []string{js, gz}},
		{"half of gzip", "/api/contacts", gzipped(`{"a":1}`)[:20], "body_malformed", 400, []string{js, gz}},
		{"gzip within gzip", "/api/contacts", gzipped(gzipped(foreign)), "content_encoding_unsupported", 415, []string{js, "Content-Encoding: gzip, gzip"}},
		{"two encodings in two lines", "/api/contacts", gzipped(foreign), "content_encoding_unsupported", 415, []string{js, gz, "Content-Encoding: identity"}},
		{"brotli", "/api/contacts", "x", "content_encoding_unsupported", 415, []string{js, "Content-Encoding: br"}},
		{"a duplicate key", "/api/contacts", `{"tenant_id":"acme","tenant_id":"globex"}`, "body_malformed", 400, []string{js}},
		{"a deep document", "/api/contacts", strings.Repeat(`{"a":`, 3000) + "1" + strings.Repeat("}", 3000), "body_too_complex", 413, []string{js}},
		{"UTF-16", "/api/contacts", "\xff\xfe{\x00}\x00", "body_malformed", 400, []string{js}},
		{"a UTF-16 charset", "/api/contacts", `{}`, "charset_unsupported", 415, []string{js + "; charset=utf-16"}},
		{"a lone surrogate", "/api/contacts", `{"\ud800":1}`, "body_malformed", 400, []string{js}},
		{"two content types", "/api/contacts", foreign, "waf_malformed", 400, []string{js, "Content-Type: text/plain"}},
		{"no content type", "/api/contacts", foreign, "media_type_unsupported", 415, nil},
		{"a batch", "/rpc/", `[{"method":"read"},{"method":"write"}]`, "jsonrpc_invalid", 400, []string{js}},
		{"a method twice", "/rpc/", `{"method":"read","method":"write"}`, "body_malformed", 400, []string{js}},
		{"a method in another case", "/rpc/", `{"method":"read","Method":"write"}`, "jsonrpc_invalid", 400, []string{js}},
		{"an escaped method", "/rpc/", `{"m\u0065thod":"read"}`, "jsonrpc_invalid", 400, []string{js}},
		{"a method that is a list", "/rpc/", `{"method":["read"]}`, "jsonrpc_invalid", 400, []string{js}},
		{"XML-RPC", "/rpc/", `<methodCall><methodName>write</methodName></methodCall>`, "media_type_unsupported", 415, []string{"Content-Type: text/xml"}},
		{"a call in a form", "/rpc/", `method=write`, "media_type_unsupported", 415, []string{form}},
		{"two actions", "/deals/card.php?action=view", "action=confirm_delete", "operation_ambiguous", 400, []string{form}},
		{"an action in a list", "/deals/card.php", "action[]=confirm_delete&action=view", "operation_ambiguous", 400, []string{form}},
		{"an action with a dot", "/deals/card.php?action=view", "Action=confirm_delete", "operation_ambiguous", 400, []string{form}},
		{"an action in JSON", "/deals/card.php?action=view", `{"action":"confirm_delete"}`, "operation_ambiguous", 400, []string{js}},
		{"an action in a part", "/deals/card.php?action=view", "--x\r\nContent-Disposition: form-data; name=\"action\"\r\n\r\nconfirm_delete\r\n--x--\r\n", "operation_ambiguous", 400, []string{multi}},
		{"an action in a file", "/deals/card.php?action=view", "--x\r\nContent-Disposition: form-data; name=\"action\"; filename=\"a\"\r\n\r\nconfirm_delete\r\n--x--\r\n", "operation_ambiguous", 400, []string{multi}},
		{"another method in a form", "/api/contacts", "_method=DELETE", "method_override", 400, []string{form}},
		{"a tenant behind the file of a stream", "/api/files/1", "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\ndata\r\n--x\r\nContent-Disposition: form-data; name=\"tenant_id\"\r\n\r\nglobex\r\n--x--\r\n", "tenant_mismatch", 403, []string{multi}},
		{"an attack behind the file of a stream", "/api/files/1", "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\ndata\r\n--x\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n1' or '1'='1' union select password from users--\r\n--x--\r\n", "waf_blocked", 403, []string{multi}},
		{"a stream without an end", "/api/files/1", "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\ndata\r\n--x-", "body_malformed", 400, []string{multi}},
	} {
		resp, body := g.post(t, c.target, c.body, append(c.header, cookie, browser)...)
		if resp.StatusCode != c.status || code(body) != c.want {
			t.Errorf("%s: got %d %q (%.200s), want %d %q", c.name, resp.StatusCode, code(body), body, c.status, c.want)
		}
		for _, got := range g.took() {
			if !strings.HasPrefix(got.Target, "/api/files/") { // a stream is judged as it passes
				t.Errorf("%s: the backend got %s %s %.80q", c.name, got.Method, got.Target, got.Body)
			} else if strings.HasSuffix(got.Body, "--x--\r\n") || strings.Contains(got.Body, "globex") {
				t.Errorf("%s: the backend got a whole upload", c.name)
			}
		}
	}
	eventually(t, "nothing of the bodies is held", func() bool { return g.held(t) == "" })
}

// post keeps the connection: net/http does not wait for the rest of a body from a client that
// wants it closed, and may then reset it under the answer.
func (g *wired) post(t testing.TB, target, body string, header ...string) (*http.Response, string) {
	t.Helper()
	return g.raw(t, "crm.test", fmt.Sprintf("POST %s HTTP/1.1\r\nHost: crm.test\r\n%s\r\nContent-Length: %d\r\n\r\n%s", target, strings.Join(header, "\r\n"), len(body), body))
}

// held names the places in which bytes of bodies are held.
func (g *wired) held(t *testing.T) (places string) {
	t.Helper()
	for line := range strings.SplitSeq(g.ops(t, "/metrics"), "\n") {
		if strings.HasPrefix(line, "sallyport_body_held_bytes{") && !strings.HasSuffix(line, " 0") {
			places += line + "\n"
		}
	}
	return places
}

// TestClientsThatLeave: at every stage of a request, nothing of it stays behind and nobody
// calls it the backend's fault.
func TestClientsThatLeave(t *testing.T) {
	g := newWired(t, withUploads)
	cookie := g.login(t, "crm", "acme", "alice", "member")
	entered, released := make(chan struct{}, 64), make(chan struct{}, 64)
	script := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		if r.Header.Get("Accept") != "now" {
			http.NewResponseController(w).Flush()
		}
		entered <- struct{}{}
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		released <- struct{}{}
	})
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		entered <- struct{}{}
		<-r.Context().Done()
		released <- struct{}{}
	})
	head := func(method, target, more string) string {
		return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: crm.test\r\n%s\r\nCookie: %s\r\n%s\r\n", method, target, browser, cookie, more)
	}
	file := "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n" + strings.Repeat("data", 40<<10)
	before := runtime.NumGoroutine()
	for _, c := range []struct {
		name, text string
		backend    http.HandlerFunc
		reaches    bool
	}{
		{"in the head", "GET /api/contacts HTTP/1.1\r\nHost: crm.te", slow, false},
		{"before any of the body", head("POST", "/api/contacts", "Content-Type: application/json\r\nContent-Length: 100\r\n"), slow, false},
		{"in the middle of the body", head("POST", "/api/contacts", "Content-Type: application/json\r\nContent-Length: 100\r\n") + `{"a":`, slow, false},
		{"in the middle of a spooled body", head("POST", "/api/spooled/1", "Content-Type: application/octet-stream\r\nContent-Length: 4000000\r\n") + strings.Repeat("x", 1<<20), slow, false},
		{"in the middle of a chunk", head("POST", "/api/contacts", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n") + "ff\r\n{", slow, false},
		{"in the middle of a stream", head("POST", "/api/files/1", "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 4000000\r\n") + file, slow, true},
		{"in the middle of a stream that is answered", head("POST", "/api/files/1", "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 4000000\r\n") + file, script, true},
		{"before the answer to a read", head("GET", "/api/contacts/7", ""), slow, true},
		{"before the answer to a write", head("POST", "/api/contacts", "Content-Type: application/json\r\nContent-Length: 2\r\n") + "{}", slow, true},
		{"in the middle of the answer", head("GET", "/api/contacts/7", ""), script, true},
		{"in the middle of the answer to a write", head("POST", "/api/contacts", "Content-Type: application/json\r\nContent-Length: 2\r\n") + "{}", script, true},
	} {
		backend := c.backend
		g.script.Store(&backend)
		conn := g.dial(t, "crm.test")
		io.WriteString(conn, c.text)
		if c.reaches && !strings.Contains(c.name, "stream") {
			<-entered
		} else {
			time.Sleep(50 * time.Millisecond)
		}
		conn.Close()
		if c.reaches && !strings.Contains(c.name, "stream") {
			select {
			case <-released:
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: the backend's request goes on", c.name)
			}
		}
		eventually(t, c.name+": nothing is held", func() bool { return g.held(t) == "" })
	}
	g.script.Store(nil)
	id, _ := access.ParseTenantID("acme")
	eventually(t, "every write has its outcome", func() bool {
		for _, ev := range g.journal.Recent(id, 1000) {
			if ev.Outcome == access.Intended {
				return false
			}
		}
		return true
	})
	for _, ev := range g.journal.Recent(id, 1000) {
		if ev.Outcome == access.Done && ev.Request.Method == "POST" {
			t.Errorf("a write whose client left is %q with %d: %+v", ev.Outcome, ev.Status, ev.Request)
		}
		if ev.Status >= 500 && ev.Status != 0 {
			t.Errorf("a client that left is a %d: %+v %v", ev.Status, ev.Request, ev.Decision)
		}
	}
	metrics := g.ops(t, "/metrics")
	for line := range strings.SplitSeq(metrics, "\n") {
		if strings.HasPrefix(line, "sallyport_upstream_errors_total{") || strings.HasPrefix(line, "sallyport_waf_failures_total{") || strings.HasPrefix(line, "sallyport_audit_failures_total{") {
			t.Errorf("clients that left count as faults of ours: %s", line)
		}
		if strings.HasPrefix(line, "sallyport_requests_total{") && (strings.Contains(line, `status="502"`) || strings.Contains(line, `status="503"`)) {
			t.Errorf("clients that left count as %s", line)
		}
	}
	if log := g.logged.String(); strings.Contains(strings.ToLower(log), "error") {
		t.Errorf("clients that left are errors in the log:\n%s", log)
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+4 })
}

// TestExpectContinue: who asks first is told no before a byte of the body is sent.
func TestExpectContinue(t *testing.T) {
	g := newWired(t, withUploads)
	cookie := g.login(t, "crm", "acme", "alice", "member")
	for _, c := range []struct {
		name, head string
		status     int
	}{
		{"a stranger", "POST /api/contacts HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n", 401},
		{"a type that is not taken", "POST /api/contacts HTTP/1.1\r\nContent-Type: text/xml\r\nContent-Length: 2\r\nCookie: " + cookie + "\r\n", 415},
		{"too much", "POST /api/contacts HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\nCookie: " + cookie + "\r\n", 413},
		{"another tenant in the query", "POST /api/contacts?tenant_id=globex HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nCookie: " + cookie + "\r\n", 403},
		{"all is well", "POST /api/contacts HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nCookie: " + cookie + "\r\n", 100},
		{"another expectation", "POST /api/contacts HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nX-Expect: x\r\nCookie: " + cookie + "\r\n", 417},
	} {
		conn := g.dial(t, "crm.test")
		expect := "Expect: 100-continue\r\n"
		if c.status == 417 {
			expect = "Expect: 200-maybe\r\n"
		}
		io.WriteString(conn, c.head+"Host: crm.test\r\n"+browser+"\r\n"+expect+"\r\n")
		in := bufio.NewReader(conn)
		line, err := in.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
			t.Errorf("%s: %q %v, want %d", c.name, line, err, c.status)
			continue
		}
		if c.status == 100 {
			in.ReadString('\n')
			io.WriteString(conn, "{}")
			if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 200 {
				t.Errorf("%s: %v %v", c.name, resp, err)
			}
			if got := g.took(); len(got) != 1 || got[0].Body != "{}" || got[0].Header.Get("Expect") != "" {
				t.Errorf("%s: the backend got %+v", c.name, got)
			}
		} else if got := g.took(); len(got) != 0 {
			t.Errorf("%s: the backend got %+v", c.name, got)
		}
	}
}
