package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// speak sends bytes as they are and gives the statuses of all answers. It ends its side when the gateway
// seems to wait for more; not before, since who hangs up is not answered.
func (g *wired) speak(t *testing.T, text string) (statuses []int) {
	t.Helper()
	conn, err := tls.Dial("tcp", g.addr, &tls.Config{ServerName: "crm.test", RootCAs: g.ca, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, text) // the gateway may hang up in between
	hangUp := time.AfterFunc(500*time.Millisecond, func() { conn.CloseWrite() })
	defer hangUp.Stop()
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: "GET"})
		if err != nil {
			return statuses
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		statuses = append(statuses, resp.StatusCode)
	}
}

// TestNoBytesOfABodyBecomeARequest sends what two parsers could cut apart in two ways. Hidden in
// each is a request for /smuggled, which must never be seen, neither by the gateway nor
// by the backend.
func TestNoBytesOfABodyBecomeARequest(t *testing.T) {
	g := newWired(t, nil)
	alice := "Cookie: " + g.login(t, "crm", "acme", "alice", "admin") + "\r\n" + browser + "\r\n"
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: crm.test\r\nConnection: close\r\n\r\n"
	post := func(framing, body string) string {
		return "POST /api/contacts HTTP/1.1\r\nHost: crm.test\r\n" + alice + "Content-Type: application/json\r\n" + framing + "\r\n" + body
	}
	size := fmt.Sprint(len(smuggled) + 7)
	for _, c := range []struct{ name, text, body string }{
		{"Content-Length and chunked", post("Content-Length: "+size+"\r\nTransfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"), "{}"},
		{"chunked and Content-Length", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "2\r\n{}\r\n0\r\n\r\n"), "{}"},
		{"two lengths that differ", post("Content-Length: 2\r\nContent-Length: "+size+"\r\n", "{}"), ""},
		{"two lengths in one line", post("Content-Length: 2, 2\r\n", "{}"), ""},
		{"a length with a sign", post("Content-Length: +2\r\n", "{}"), ""},
		{"a negative length", post("Content-Length: -2\r\n", "{}"), ""},
		{"a length in hexadecimal", post("Content-Length: 0x2\r\n", "{}"), ""},
		{"a length that is no length", post("Content-Length: 2 2\r\n", "{}"), ""},
		{"a length beyond all numbers", post("Content-Length: 18446744073709551618\r\n", "{}"), ""},
		{"chunked in another spelling", post("Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n", "{}"), ""},
		{"chunked with a tab", post("Transfer-Encoding:\tchunked\r\nContent-Length: 2\r\n", "2\r\n{}\r\n0\r\n\r\n"), "{}"},
		{"chunked behind identity", post("Transfer-Encoding: identity, chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"), ""},
		{"chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"), ""},
		{"chunked, then something", post("Transfer-Encoding: chunked, gzip\r\n", "2\r\n{}\r\n0\r\n\r\n"), ""},
		{"a space before the colon", post("Transfer-Encoding : chunked\r\nContent-Length: 2\r\n", "2\r\n{}\r\n0\r\n\r\n"), ""},
		{"a folded line", post("Transfer-Encoding:\r\n chunked\r\nContent-Length: 2\r\n", "{}"), ""},
		{"a vertical tab", post("Transfer-Encoding: \vchunked\r\nContent-Length: 2\r\n", "{}"), ""},
		{"a bare CR in a header", post("X: a\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n", "{}"), ""},
		{"a NUL in a header", post("X: a\x00b\r\nContent-Length: 2\r\n", "{}"), ""},
		{"an underscore in Content_Length", post("Content_Length: 90\r\nContent-Length: 2\r\n", "{}"), "{}"},
		{"a chunk size that overflows", post("Transfer-Encoding: chunked\r\n", "10000000000000002\r\n{}\r\n0\r\n\r\n"), ""},
		{"a chunk size with a sign", post("Transfer-Encoding: chunked\r\n", "+2\r\n{}\r\n0\r\n\r\n"), ""},
		{"a chunk size with a prefix", post("Transfer-Encoding: chunked\r\n", "0x2\r\n{}\r\n0\r\n\r\n"), ""},
		{"a chunk longer than its size", post("Transfer-Encoding: chunked\r\n", "2\r\n{}xx\r\n0\r\n\r\n"), ""},
		{"a chunk extension", post("Transfer-Encoding: chunked\r\n", "2;a=b\r\n{}\r\n0\r\n\r\n"), "{}"},
		{"an endless chunk extension", post("Transfer-Encoding: chunked\r\n", "2;a="+strings.Repeat("b", 70_000)+"\r\n{}\r\n0\r\n\r\n"), ""},
		{"a bare LF in a chunk extension", post("Transfer-Encoding: chunked\r\n", "2;\n{}\r\n0\r\n\r\n"), ""},
		{"a trailer that is a framing", post("Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n", "2\r\n{}\r\n0\r\nContent-Length: 50\r\n\r\n"), ""},
		{"GET with a length", "GET /api/contacts/7 HTTP/1.1\r\nHost: crm.test\r\n" + alice + "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", ""},
		{"a body that is refused", strings.Replace(post("Content-Length: "+fmt.Sprint(len(smuggled))+"\r\n", smuggled), "/api/contacts", "/api//contacts", 1), ""},
		{"a body that is refused, with a promise", strings.Replace(post("Expect: 100-continue\r\nContent-Length: "+fmt.Sprint(len(smuggled))+"\r\n", smuggled), "/api/contacts", "/.sallyport/none", 1), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := c.text
			if !strings.Contains(text, "/smuggled") {
				text += strings.Replace(smuggled, "/smuggled", "/smuggled?after", 1) // pipelined: a request of its own if the first was whole
			}
			statuses := g.speak(t, text)
			got := g.took()
			switch {
			case len(statuses) == 0:
				t.Error("no answer at all")
			case c.body == "" && (len(got) != 0 || statuses[0] < 400 || statuses[0] > 499 && statuses[0] != 501 || len(statuses) > 1 && statuses[1] != 401):
				t.Errorf("statuses %v, the backend saw %+v", statuses, got)
			case c.body != "" && (len(got) != 1 || got[0].Body != c.body || statuses[0] != 200 || len(statuses) > 1 && statuses[1] != 401):
				t.Errorf("statuses %v, the backend saw %+v", statuses, got)
			}
			for _, s := range got {
				if s.Header.Get("Transfer-Encoding") != "" || strings.Contains(s.Target, "smuggled") || s.Header.Get("Content_length") != "" {
					t.Errorf("the backend saw %+v", s)
				}
			}
		})
	}
}

// TestHTTP10IsAnsweredOnce: it has no chunked coding (RFC 9112, section 6.1), so what looks like one is
// neither a body nor, on a connection that a client wants to keep, the next request.
func TestHTTP10IsAnsweredOnce(t *testing.T) {
	g := newWired(t, nil)
	alice := "Cookie: " + g.login(t, "crm", "acme", "alice", "admin") + "\r\n" + browser + "\r\n"
	for _, c := range []struct {
		method string
		status int
	}{{"POST", 200}, {"GET", 200}, {"DELETE", 200}, {"TRACE", 405}} {
		got := g.speak(t, c.method+" /api/contacts/7 HTTP/1.0\r\nHost: crm.test\r\nConnection: keep-alive\r\n"+alice+"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"+
			"GET /smuggled HTTP/1.1\r\nHost: crm.test\r\n"+alice+"\r\n")
		if !slices.Equal(got, []int{c.status}) {
			t.Errorf("%s: statuses %v", c.method, got)
		}
		for _, s := range g.took() {
			if s.Body != "" || strings.Contains(s.Target, "smuggled") {
				t.Errorf("%s: the backend saw %+v", c.method, s)
			}
		}
	}
}

// TestTheHeadIsReadInOneWay sends heads that name things twice or oddly.
func TestTheHeadIsReadInOneWay(t *testing.T) {
	g := newWired(t, nil)
	alice := "Cookie: " + g.login(t, "crm", "acme", "alice", "admin") + "\r\n" + browser + "\r\n"
	get := func(line, head string) string {
		return line + "\r\n" + head + alice + "Connection: close\r\n\r\n"
	}
	for _, c := range []struct {
		name, text string
		status     int // 0: no answer, or any 4xx
	}{
		{"an honest one", get("GET /api/contacts/7 HTTP/1.1", "Host: crm.test\r\n"), 200},
		{"another case and a port", get("GET /api/contacts/7 HTTP/1.1", "Host: CRM.test:8443\r\n"), 200},
		{"two hosts", get("GET /api/contacts/7 HTTP/1.1", "Host: crm.test\r\nHost: evil.test\r\n"), 400},
		{"no host", get("GET /api/contacts/7 HTTP/1.1", ""), 400},
		{"an empty host", get("GET /api/contacts/7 HTTP/1.1", "Host:\r\n"), 421},
		{"a trailing dot", get("GET /api/contacts/7 HTTP/1.1", "Host: crm.test.\r\n"), 421},
		{"a port that is none", get("GET /api/contacts/7 HTTP/1.1", "Host: crm.test:x.evil.test\r\n"), 421},
		{"userinfo", get("GET /api/contacts/7 HTTP/1.1", "Host: crm.test:@evil.test\r\n"), 0},
		{"userinfo of another spelling", get("GET /api/contacts/7 HTTP/1.1", "Host: crm.test:%40evil.test\r\n"), 421},
		{"brackets", get("GET /api/contacts/7 HTTP/1.1", "Host: [crm.test]\r\n"), 421},
		{"a path in the host", get("GET /api/contacts/7 HTTP/1.1", "Host: crm.test/x\r\n"), 0},
		{"a comma", get("GET /api/contacts/7 HTTP/1.1", "Host: crm.test,evil.test\r\n"), 421},
		{"an international name", get("GET /api/contacts/7 HTTP/1.1", "Host: crm.t\u00e9st\r\n"), 0},
		{"an absolute target", get("GET https://crm.test/api/contacts/7 HTTP/1.1", "Host: crm.test\r\n"), 400},
		{"an absolute target of another host", get("GET https://evil.test/ HTTP/1.1", "Host: crm.test\r\n"), 400},
		{"an authority as the target", get("GET crm.test:443 HTTP/1.1", "Host: crm.test\r\n"), 400},
		{"OPTIONS of everything", get("OPTIONS * HTTP/1.1", "Host: crm.test\r\n"), 400},
		{"GET of everything", get("GET * HTTP/1.1", "Host: crm.test\r\n"), 400},
		{"CONNECT", get("CONNECT crm.test:443 HTTP/1.1", "Host: crm.test\r\n"), 405},
		{"two spaces in the line", get("GET  /api/contacts/7 HTTP/1.1", "Host: crm.test\r\n"), 400},
		{"a tab in the line", get("GET\t/api/contacts/7 HTTP/1.1", "Host: crm.test\r\n"), 400},
		{"another version", get("GET /api/contacts/7 HTTP/1.9", "Host: crm.test\r\n"), 0},
		{"HTTP/2 in a line", get("PRI * HTTP/2.0", "Host: crm.test\r\n"), 0},
		{"a header without a name", get("GET /api/contacts/7 HTTP/1.1", "Host: crm.test\r\n: x\r\n"), 400},
		{"a header with a space in its name", get("GET /api/contacts/7 HTTP/1.1", "Host: crm.test\r\nX Tenant-Id: globex\r\n"), 400},
		{"a first line that is folded", "GET /api/contacts/7 HTTP/1.1\r\n X-Tenant-Id: globex\r\nHost: crm.test\r\n" + alice + "\r\n", 400},
		{"40 KiB of headers", get("GET /api/contacts/7 HTTP/1.1", "Host: crm.test\r\nX-Long: "+strings.Repeat("a", 40<<10)+"\r\n"), 431},
		{"5,000 headers", get("GET /api/contacts/7 HTTP/1.1", "Host: crm.test\r\n"+strings.Repeat("A: b\r\n", 10_000)), 431},
		{"a target of 17 KiB", get("GET /api/contacts?q="+strings.Repeat("a", 17<<10)+" HTTP/1.1", "Host: crm.test\r\n"), 414},
		{"a path of 5 KiB", get("GET /"+strings.Repeat("a", 5<<10)+" HTTP/1.1", "Host: crm.test\r\n"), 414},
		{"512 parameters", get("GET /api/contacts?"+strings.Repeat("a&", 511)+"a HTTP/1.1", "Host: crm.test\r\n"), 200},
		{"513 parameters", get("GET /api/contacts?"+strings.Repeat("a&", 512)+"a HTTP/1.1", "Host: crm.test\r\n"), 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			statuses := g.speak(t, c.text)
			got := g.took()
			if c.status == 200 != (len(got) == 1) {
				t.Errorf("the backend saw %+v", got)
			}
			switch {
			case c.status == 0 && len(statuses) > 0 && (statuses[0] < 400 || statuses[0] > 505 || statuses[0] == 503):
				t.Errorf("statuses %v", statuses)
			case c.status != 0 && !slices.Equal(statuses, []int{c.status}):
				t.Errorf("statuses %v, want %d", statuses, c.status)
			}
		})
	}
}

// TestARequestBehindARefusedOneIsAnsweredForItself: a refusal without a body keeps the connection,
// and what follows on it is judged anew.
func TestARequestBehindARefusedOneIsAnsweredForItself(t *testing.T) {
	g := newWired(t, nil)
	alice := "Cookie: " + g.login(t, "crm", "acme", "alice", "member") + "\r\n"
	const refused, stranger = "GET //x HTTP/1.1\r\nHost: crm.test\r\n\r\n", "GET /api/contacts/8 HTTP/1.1\r\nHost: crm.test\r\n\r\n"
	good := "GET /api/contacts/7 HTTP/1.1\r\nHost: crm.test\r\n" + alice + "\r\n"
	if got := g.speak(t, good+stranger+refused+good+strings.Replace(stranger, "\r\n", "\r\nConnection: close\r\n", 1)); !slices.Equal(got, []int{200, 401, 400, 200, 401}) {
		t.Errorf("statuses %v", got)
	}
	if got := g.took(); len(got) != 2 {
		t.Errorf("the backend saw %+v", got)
	}
}

// streamH2 sends one HTTP/2 request by hand, its fields in their order and with data as they are, and
// gives the status; 0 means that the stream or the connection was broken off.
func (g *wired) streamH2(t *testing.T, fields [][2]string, data string) int {
	t.Helper()
	conn, err := tls.Dial("tcp", g.addr, &tls.Config{ServerName: "crm.test", RootCAs: g.ca, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, http2.ClientPreface)
	fr := http2.NewFramer(conn, conn)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	fr.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range fields {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: data == ""})
	if data != "" {
		fr.WriteData(1, true, []byte(data))
	}
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return 0
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			var status int
			fmt.Sscan(f.PseudoValue("status"), &status)
			if status >= 200 {
				return status
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return 0
		}
	}
}

func TestHTTP2IsReadInOneWay(t *testing.T) {
	g := newWired(t, nil)
	cookie := g.login(t, "crm", "acme", "alice", "admin")
	request := func(method, authority, path string, more ...string) (fields [][2]string) {
		for _, f := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", authority}, {":path", path}, {"cookie", cookie}, {"sec-fetch-site", "same-origin"}} {
			if f[1] != "-" {
				fields = append(fields, f)
			}
		}
		for i := 0; i+1 < len(more); i += 2 {
			fields = append(fields, [2]string{more[i], more[i+1]})
		}
		return fields
	}
	get := func(more ...string) [][2]string { return request("GET", "crm.test", "/api/contacts/7", more...) }
	post := func(more ...string) [][2]string {
		return request("POST", "crm.test", "/api/contacts", append([]string{"content-type", "application/json"}, more...)...)
	}
	for _, c := range []struct {
		name   string
		fields [][2]string
		data   string
		status int
	}{
		{"an honest read", get(), "", 200},
		{"an honest write", post(), "{}", 200},
		{"another tenant's header", get("x-tenant-id", "globex", "x_tenant_id", "globex", "x.tenant.id", "globex"), "", 200},
		{"cookies over several fields", append(request("GET", "crm.test", "/api/contacts/7", "cookie", "theme=dark"), [2]string{"cookie", "a=b"}), "", 200},
		{"a second session cookie in a field of its own", get("cookie", cookie), "", 401},
		{"another authority", request("GET", "evil.test", "/api/contacts/7"), "", 421},
		{"another site's authority", request("GET", "second.test", "/api/contacts/7"), "", 421},
		{"userinfo in the authority", request("GET", "a@crm.test", "/api/contacts/7"), "", -1},
		{"userinfo behind the authority", request("GET", "crm.test:@evil.test", "/api/contacts/7"), "", -1},
		{"another host beside the authority, which is dropped", get("host", "evil.test"), "", 200},
		{"another host and no authority", request("GET", "-", "/api/contacts/7", "host", "evil.test"), "", -1},
		{"no authority and no host", request("GET", "-", "/api/contacts/7"), "", -1},
		{"an absolute path", request("GET", "crm.test", "https://evil.test/x"), "", 0},
		{"an empty path", request("GET", "crm.test", ""), "", 0},
		{"a path without a slash", request("GET", "crm.test", "api/contacts/7"), "", 0},
		{"a star", request("OPTIONS", "crm.test", "*"), "", -1},
		{"a double slash", request("GET", "crm.test", "//api/contacts/7"), "", 400},
		{"dots", request("GET", "crm.test", "/public/../billing/1"), "", 400},
		{"a space in the path", request("GET", "crm.test", "/api/contacts/7 HTTP/1.1"), "", 400},
		{"a request in the path", request("GET", "crm.test", "/x HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /billing/1"), "", -1},
		{"a fragment", request("GET", "crm.test", "/public/a#/../billing"), "", 400},
		{"a letter beyond ASCII in the path", request("GET", "crm.test", "/b\u0131lling/1"), "", 400},
		{"the path twice", append([][2]string{{":path", "/public/a"}}, get()...), "", 0},
		{"the method twice", append([][2]string{{":method", "POST"}}, get()...), "", 0},
		{"a pseudo-header behind a header", get(":path", "/billing/1"), "", 0},
		{"an unknown pseudo-header", append([][2]string{{":tenant", "globex"}}, get()...), "", 0},
		{"the scheme http", append([][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "crm.test"}, {":path", "/api/contacts/7"}}, [2]string{"cookie", cookie}), "", 200},
		{"a method with a request in it", request("GET /billing/1 HTTP/1.1\r\nA:", "crm.test", "/x"), "", -1},
		{"a lower-case method", request("get", "crm.test", "/api/contacts/7"), "", 405},
		{"CONNECT", [][2]string{{":method", "CONNECT"}, {":authority", "crm.test:443"}, {"cookie", cookie}}, "", -1},
		{"CONNECT to a WebSocket", request("CONNECT", "crm.test", "/live", ":protocol", "websocket"), "", 0},
		{"a header in upper case", get("X-Tenant-Id", "globex"), "", 0},
		{"a line break in a value", get("x-a", "b\r\nx-tenant-id: globex"), "", 0},
		{"a line break in a name", get("x-a: b\r\nx-tenant-id", "globex"), "", 0},
		{"a colon in a name", get("x-a:b", "c"), "", 0},
		{"connection", get("connection", "x-tenant-id"), "", 0},
		{"transfer-encoding", post("transfer-encoding", "chunked"), "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", 0},
		{"an upgrade", get("upgrade", "websocket"), "", 0},
		{"te other than trailers", get("te", "gzip"), "", 0},
		{"a content-length that is too short", post("content-length", "1"), "{}", -1},
		{"a content-length that is too long", post("content-length", "9"), "{}", -1},
		{"a content-length that is none", post("content-length", "2x"), "{}", -1},
		{"two content-lengths", post("content-length", "2", "content-length", "3"), "{}", 200}, // one length arrives: what the frames held
	} {
		t.Run(c.name, func(t *testing.T) {
			status := g.streamH2(t, c.fields, c.data)
			got := g.took()
			if (c.status == 200) != (len(got) == 1) {
				t.Errorf("%d, the backend saw %+v", status, got)
			}
			refusedAtAll := c.status == -1 && (status == 0 || status >= 400 && status < 500)
			if status != c.status && !refusedAtAll && !(c.status == 0 && status == 400) {
				t.Errorf("%d, want %d", status, c.status)
			}
			for _, s := range got {
				if s.Header.Get("X-Tenant-Id") != "acme" || len(s.Header["X-Tenant-Id"]) != 1 || s.Header.Get("X_tenant_id") != "" || s.Header.Get("Host") != "crm.test" || strings.Contains(s.Header.Get("Cookie"), "__Host-sallyport") {
					t.Errorf("the backend saw %+v", s)
				}
			}
		})
	}
}

// TestNobodyIsAskedForABodyThatIsRefused: "100 Continue" comes when the gateway begins to read, and
// not for a head that is refused (RFC 9110, section 10.1.1).
func TestNobodyIsAskedForABodyThatIsRefused(t *testing.T) {
	g := newWired(t, nil)
	alice := "Cookie: " + g.login(t, "crm", "acme", "alice", "member") + "\r\n" + browser + "\r\n"
	for _, c := range []struct {
		name, head string
		first      int
	}{
		{"a stranger", "POST /api/contacts HTTP/1.1\r\nHost: crm.test\r\nContent-Type: application/json\r\n", 401},
		{"another site", "POST /api/contacts HTTP/1.1\r\nHost: crm.test\r\nContent-Type: application/json\r\n" + strings.Replace(alice, "same-origin", "cross-site", 1), 403},
		{"another tenant", "POST /api/contacts?tenant_id=globex HTTP/1.1\r\nHost: crm.test\r\nContent-Type: application/json\r\n" + alice, 403},
		{"another type", "POST /api/contacts HTTP/1.1\r\nHost: crm.test\r\nContent-Type: text/xml\r\n" + alice, 415},
		{"an expectation that is none", "POST /api/contacts HTTP/1.1\r\nHost: crm.test\r\nExpect: 200-ok\r\n" + alice, 417},
		{"somebody who may", "POST /api/contacts HTTP/1.1\r\nHost: crm.test\r\nContent-Type: application/json\r\n" + alice, 100},
	} {
		head := c.head
		if !strings.Contains(head, "Expect") {
			head += "Expect: 100-continue\r\n"
		}
		conn, err := tls.Dial("tcp", g.addr, &tls.Config{ServerName: "crm.test", RootCAs: g.ca, NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, head+"Content-Length: 2\r\n\r\n")
		in := bufio.NewReader(conn)
		line, err := in.ReadString('\n')
		if !strings.HasPrefix(line, fmt.Sprintf("HTTP/1.1 %d ", c.first)) {
			t.Errorf("%s: %q %v", c.name, line, err)
		}
		if c.first == 100 {
			io.WriteString(conn, "{}")
			in.ReadString('\n') // the empty line behind 100
			if line, err = in.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 200 ") {
				t.Errorf("%s, then: %q %v", c.name, line, err)
			}
		}
		conn.Close()
		if got := g.took(); (len(got) == 1) != (c.first == 100) || len(got) == 1 && got[0].Header.Get("Expect") != "" {
			t.Errorf("%s: the backend saw %+v", c.name, got)
		}
	}
}

// TestTrailersOfHTTP2StayHere: they come after every decision.
func TestTrailersOfHTTP2StayHere(t *testing.T) {
	g := newWired(t, nil)
	conn, err := tls.Dial("tcp", g.addr, &tls.Config{ServerName: "crm.test", RootCAs: g.ca, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tr := &http2.Transport{}
	c, err := tr.NewClientConn(conn)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", "https://crm.test/api/contacts", io.NopCloser(strings.NewReader("{}")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Cookie": {g.login(t, "crm", "acme", "alice", "member")}, "Sec-Fetch-Site": {"same-origin"}, "Content-Type": {"application/json"}}
	r.Trailer = http.Header{"X-Tenant-Id": {"globex"}, "X-Other": {"x"}}
	resp, err := c.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := g.took(); resp.StatusCode != 200 || len(got) != 1 || len(got[0].Trailer) != 0 || got[0].Header.Get("Trailer") != "" || got[0].Header.Get("X-Tenant-Id") != "acme" {
		t.Errorf("%d, the backend saw %+v", resp.StatusCode, got)
	}
}
