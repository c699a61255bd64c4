package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
)

// rawBackend is an application that answers with bytes of its own, one request for each
// connection. It gives the address and how many connections are open.
func rawBackend(t *testing.T, serve func(net.Conn, *http.Request)) (address string, open *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	open = new(atomic.Int64)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Add(1)
			go func() {
				defer open.Add(-1)
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(30 * time.Second))
				if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					serve(conn, r)
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), open
}

var upstreamAddress = regexp.MustCompile(`upstreams: \["http[^"]*"\]`)

// behind puts the gateway in front of another backend.
func behind(address string) func(string) string {
	return func(text string) string {
		return upstreamAddress.ReplaceAllString(text, `upstreams: ["`+address+`"]`)
	}
}

// dial opens a connection to the gateway that speaks HTTP/1.1.
func (g *wired) dial(t testing.TB, serverName string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", g.addr, &tls.Config{ServerName: serverName, RootCAs: g.ca, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// bytes sends bytes as they are and gives all that comes back.
func (g *wired) bytes(t testing.TB, text string) string {
	t.Helper()
	conn := g.dial(t, "crm.test")
	io.WriteString(conn, text)
	got, _ := io.ReadAll(conn)
	return string(got)
}

// eventOf finds the audit event of a request.
func (g *wired) eventOf(t *testing.T, tenant, request string) access.Event {
	t.Helper()
	id, err := access.ParseTenantID(tenant)
	if err != nil {
		t.Fatal(err)
	}
	var found access.Event
	eventually(t, "the audit event of "+request, func() bool {
		for _, ev := range g.journal.Recent(id, 1000) {
			if ev.Request.ID == request && ev.Outcome != access.Intended {
				found = ev
				return true
			}
		}
		return false
	})
	return found
}

// TestABackendThatMisbehaves: whatever the application says, the client gets one clean answer,
// nothing that only we may say, and what went wrong is called the backend's fault.
func TestABackendThatMisbehaves(t *testing.T) {
	var answer atomic.Pointer[string]
	address, open := rawBackend(t, func(conn net.Conn, _ *http.Request) { io.WriteString(conn, *answer.Load()) })
	g := newWired(t, behind(address))
	cookie := "Cookie: " + g.login(t, "crm", "acme", "alice", "member")
	ok := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n"
	for _, c := range []struct {
		name, answer string
		status       int
		body         string
	}{
		{"a plain answer", ok + "\r\nhi", 200, "hi"},
		{"an answer until the end of the connection", "HTTP/1.0 200 OK\r\n\r\nhi", 200, "hi"},
		{"no answer at all", "", 502, ""},
		{"half a status line", "HTTP/1.1 20", 502, ""},
		{"no HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 502, ""},
		{"300 KiB of headers", "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 300<<10) + "\r\n\r\n", 502, ""},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi", 502, ""},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi", 502, ""},
		{"an unknown transfer coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 502, ""},
		{"a header's name that is none", "HTTP/1.1 200 OK\r\nX-Tenant Id: b\r\nX-Tenant-Id\x0b: b\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", 502, ""},
		{"a status of two digits", "HTTP/1.1 99 No\r\nContent-Length: 0\r\n\r\n", 502, ""},
		{"a status of zero", "HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n", 502, ""},
		{"another protocol that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi", 502, ""},
		{"a 204 with a body", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi", 204, ""},
		{"a 304 with a body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nhi", 304, ""},
		{"a second answer behind the first", ok + "\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200, "hi"},
		{"100 Continue that nobody asked for", "HTTP/1.1 100 Continue\r\n\r\n" + ok + "\r\nhi", 200, "hi"},
		{"many early answers", strings.Repeat("HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n", 4) + ok + "\r\nhi", 200, "hi"},
		{"early answers without end", strings.Repeat("HTTP/1.1 102 Processing\r\nX-A: "+strings.Repeat("b", 4096)+"\r\n\r\n", 200), 502, ""},
		{"trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Tenant-Id, Set-Cookie\r\n\r\n2\r\nhi\r\n0\r\nX-Tenant-Id: globex\r\nSet-Cookie: a=b\r\nX-Else: c\r\n\r\n", 200, "hi"},
		{"an encoded answer", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08", 200, "\x1f\x8b\x08"},
	} {
		answer.Store(&c.answer)
		resp, body := g.ask(t, "GET", "/api/contacts/7", "", cookie)
		if resp.StatusCode != c.status {
			t.Errorf("%s: got %d %.200s, want %d", c.name, resp.StatusCode, body, c.status)
			continue
		}
		if c.status == 502 && code(body) != "upstream_unreachable" {
			t.Errorf("%s: refused with %q", c.name, code(body))
		}
		if c.status != 502 && body != c.body {
			t.Errorf("%s: the body is %q", c.name, body)
		}
		for name := range resp.Trailer {
			t.Errorf("%s: a trailer %s came through", c.name, name)
		}
		if resp.Header.Get("X-A") != "" && c.status == 200 {
			t.Errorf("%s: a header of an early answer is in the last one", c.name)
		}
	}
	eventually(t, "connections to the backend are closed", func() bool { return open.Load() == 0 })
}

// TestWhatABackendMayNotSay: headers by which it would lead around us, speak as us or tell of the
// house behind.
func TestWhatABackendMayNotSay(t *testing.T) {
	var answer atomic.Pointer[string]
	var own string
	address, _ := rawBackend(t, func(conn net.Conn, _ *http.Request) {
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n%s\r\n\r\nhi", strings.ReplaceAll(*answer.Load(), "{own}", own))
	})
	own = strings.TrimPrefix(address, "http://")
	g := newWired(t, behind(address))
	cookie := "Cookie: " + g.login(t, "crm", "acme", "alice", "member")
	for _, c := range []struct{ line, header, want string }{
		{"Location: http://{own}/next?a=b#c", "Location", "https://crm.test/next?a=b#c"},
		{"Location: HTTP://{own}", "Location", "https://crm.test"},
		{"Location: //{own}/next", "Location", "https://crm.test/next"},
		{"Location: http://user:secret@{own}/next", "Location", "https://crm.test/next"},
		{"Location: http://crm.test/next", "Location", "https://crm.test/next"},
		{"Location: http://crm.test:80/next", "Location", "https://crm.test/next"},
		{"Location: /next", "Location", "/next"},
		{"Location: https://elsewhere.test/next", "Location", "https://elsewhere.test/next"},
		{"Content-Location: http://{own}/next", "Content-Location", "https://crm.test/next"},
		{"Refresh: 0; url=http://{own}/next", "Refresh", "0; url=https://crm.test/next"},
		{"Refresh: 5;URL='http://{own}/next'", "Refresh", "5;URL='https://crm.test/next'"},
		{"Refresh: 5", "Refresh", "5"},
		{"Server: Apache/2.4 (Debian)", "Server", ""},
		{"X-Powered-By: PHP/5.6", "X-Powered-By", ""},
		{"X-Tenant-Id: globex", "X-Tenant-Id", ""},
		{"X_Tenant_Id: globex", "X_tenant_id", ""},
		{"X-Sallyport-Assertion: forged", "X-Sallyport-Assertion", ""},
		{"X-Request-Id: forged", "X-Request-Id", "ours"},
		{"WWW-Authenticate: Basic realm=x", "Www-Authenticate", ""},
		{"Alt-Svc: h3=\":443\"", "Alt-Svc", ""},
		{"Access-Control-Allow-Origin: *", "Access-Control-Allow-Origin", ""},
		{"Strict-Transport-Security: max-age=0", "Strict-Transport-Security", "max-age=31536000"},
		{"Strict-Transport-Security: max-age=63072000; includeSubDomains", "Strict-Transport-Security", "max-age=63072000; includeSubDomains"},
		{"Set-Cookie: __Host-sallyport-session=forged; Path=/; Secure", "Set-Cookie", ""},
		{"Set-Cookie: __HOST-SALLYPORT-session=forged; Path=/; Secure", "Set-Cookie", ""},
		{"Set-Cookie: sp-mac-x=forged", "Set-Cookie", ""},
		{"Set-Cookie: =__Host-sallyport-session=forged; Path=/; Secure", "Set-Cookie", ""},
		{"Set-Cookie: novalue", "Set-Cookie", ""},
	} {
		answer.Store(&c.line)
		resp, body := g.ask(t, "GET", "/api/contacts/7", "", cookie)
		if resp.StatusCode != 200 {
			t.Fatalf("%s: %d %s", c.line, resp.StatusCode, body)
		}
		got := strings.Join(resp.Header.Values(c.header), " | ")
		if c.want == "ours" && got != "" && got != "forged" {
			continue
		}
		if got != c.want {
			t.Errorf("%s: the client got %q, want %q", c.line, got, c.want)
		}
	}
}

// TestEarlyHintsTellLinksAlone.
func TestEarlyHintsTellLinksAlone(t *testing.T) {
	address, _ := rawBackend(t, func(conn net.Conn, _ *http.Request) {
		io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nSet-Cookie: a=b\r\nX-Tenant-Id: globex\r\nServer: x\r\n\r\n"+
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
	})
	g := newWired(t, behind(address))
	text := g.bytes(t, "GET /api/contacts/7 HTTP/1.1\r\nHost: crm.test\r\nConnection: close\r\nCookie: "+g.login(t, "crm", "acme", "alice", "member")+"\r\n\r\n")
	early, rest, found := strings.Cut(text, "\r\n\r\n")
	if !found || early != "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload" {
		t.Errorf("the early answer is %q", early)
	}
	if !strings.HasPrefix(rest, "HTTP/1.1 200 OK\r\n") || strings.Contains(rest, "a.css") {
		t.Errorf("the answer is %q", rest)
	}
}

// TestAnAnswerThatBreaksOffNeverLooksWhole, and the deed's outcome is then unknown.
func TestAnAnswerThatBreaksOffNeverLooksWhole(t *testing.T) {
	for name, answer := range map[string]string{
		"with a length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"in chunks":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"a bad chunk":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			address, _ := rawBackend(t, func(conn net.Conn, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				io.WriteString(conn, answer)
				conn.(*net.TCPConn).SetLinger(0)
			})
			g := newWired(t, behind(address))
			body := `{"name":"x"}`
			text := g.bytes(t, fmt.Sprintf("POST /api/contacts HTTP/1.1\r\nHost: crm.test\r\n%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nCookie: %s\r\n\r\n%s",
				browser, len(body), g.login(t, "crm", "acme", "alice", "member"), body))
			if strings.HasSuffix(text, "\r\n0\r\n\r\n") || strings.Contains(text, "Content-Length: 4\r\n") {
				t.Errorf("the broken answer looks whole: %q", text)
			}
			if !strings.HasPrefix(text, "HTTP/1.1 200") { // it broke before anything went out
				return
			}
			_, rest, _ := strings.Cut(text, "X-Request-Id: ")
			id, _, _ := strings.Cut(rest, "\r\n")
			if ev := g.eventOf(t, "acme", id); ev.Outcome != access.Unknown {
				t.Errorf("the audit event says %q %d", ev.Outcome, ev.Status)
			}
		})
	}
}

// TestANeverEndingAnswerEndsWithItsClient: nothing of it is left, here or at the backend.
func TestANeverEndingAnswerEndsWithItsClient(t *testing.T) {
	began, ended := make(chan struct{}, 16), make(chan struct{}, 16)
	address, open := rawBackend(t, func(conn net.Conn, _ *http.Request) {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")
		began <- struct{}{}
		for {
			if _, err := conn.Write(make([]byte, 32<<10)); err != nil {
				ended <- struct{}{}
				return
			}
		}
	})
	g := newWired(t, behind(address))
	cookie := g.login(t, "crm", "acme", "alice", "member")
	before := runtime.NumGoroutine()
	for range 5 {
		conn := g.dial(t, "crm.test")
		fmt.Fprintf(conn, "GET /api/contacts/7 HTTP/1.1\r\nHost: crm.test\r\nCookie: %s\r\n\r\n", cookie)
		io.ReadFull(conn, make([]byte, 64<<10))
		<-began
		conn.Close()
		<-ended
	}
	eventually(t, "nothing is left", func() bool { return open.Load() == 0 && runtime.NumGoroutine() <= before+2 })
	if log := g.logged.String(); strings.Contains(log, "ERROR") || strings.Contains(log, `"level":"error"`) {
		t.Errorf("clients that left are errors in the log:\n%s", log)
	}
}
