package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
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

// TestBackendCookiesBelongToOneSession: what the application set under one session reaches it
// under no other, whoever carries it, and the application still gets it back byte for byte.
func TestBackendCookiesBelongToOneSession(t *testing.T) {
	g := newWired(t, nil)
	big := strings.Repeat("b", 3600)
	script := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/set":
			for _, line := range []string{"PHPSESSID=abc%2F=\"x y\"; Path=/; HttpOnly", "csrf=token,1; Path=/app; SameSite=Strict", "big=" + big + "; HttpOnly; Path=/; Secure; Domain=.test",
				"theme=dark; Max-Age=60", "old=1; HttpOnly; Expires=Thu, 01-Jan-1970 00:00:01 GMT", "__Host-sallyport-session=evil; Path=/; Secure", "SP-MAC-PHPSESSID=evil"} {
				w.Header().Add("Set-Cookie", line)
			}
		case "/flood":
			for i := range 2000 {
				w.Header().Add("Set-Cookie", fmt.Sprintf("c%d=%s; HttpOnly", i, strings.Repeat("x", 60)))
			}
		}
		io.WriteString(w, r.Header.Get("Cookie"))
	})
	g.script.Store(&script)
	mine := g.login(t, "crm", "acme", "alice", "member")
	resp, _ := g.ask(t, "GET", "/set", "", "Cookie: "+mine)
	var pairs []string
	lines := map[string]string{}
	for _, line := range resp.Header.Values("Set-Cookie") {
		name, rest, _ := strings.Cut(line, "=")
		value, attributes, _ := strings.Cut(rest, ";")
		if lines[name] = attributes; value != "" {
			pairs = append(pairs, name+"="+value)
		}
		if len(line) > 4096 {
			t.Errorf("%s has %d bytes", name, len(line))
		}
		if strings.Contains(strings.ToLower(attributes), "domain") || !strings.Contains(attributes, "Secure") || !strings.Contains(attributes, "SameSite=") || strings.HasPrefix(strings.ToLower(name), "__host-sallyport") {
			t.Errorf("the browser is told %q", line)
		}
	}
	if strings.Contains(strings.Join(pairs, ";"), "abc%2F") || !strings.Contains(strings.Join(pairs, ";"), "csrf=token,1") {
		t.Errorf("the browser holds %q", pairs)
	}
	jar := strings.Join(pairs, "; ")
	want := "PHPSESSID=abc%2F=\"x y\"; csrf=token,1; big=" + big + "; theme=dark"
	see := func(cookie string) string {
		_, body := g.ask(t, "GET", "/api/x", "", "Cookie: "+cookie)
		return body
	}
	if got := see(mine + "; " + jar); got != want {
		t.Errorf("in its own session the application sees %.200q", got)
	}
	_, refresh := cookiePair(mine)
	renewed, _ := g.ask(t, "GET", "/api/x", "", "Cookie: "+refresh)
	if got := see(setByAnswer(renewed) + "; " + jar); got != want {
		t.Errorf("after a renewal of the session the application sees %.200q", got)
	}
	for name, who := range map[string]string{
		"another user":         g.login(t, "crm", "acme", "bob", "member"),
		"another tenant":       g.login(t, "crm", "globex", "alice", "member"),
		"the same user anew":   g.login(t, "crm", "acme", "alice", "member"),
		"another user's owner": g.login(t, "crm", "acme", "olga", "owner"),
	} {
		if got := see(who + "; " + jar); got != "theme=dark" {
			t.Errorf("under %s the application sees %.200q", name, got)
		}
	}
	if got := g.second(t, g.login(t, "second", "acme", "alice", "member")+"; "+jar); got != "" {
		t.Errorf("on another site the application sees %.200q", got)
	}
	// Values that were moved, cut or made up.
	moved := strings.Replace(strings.Replace(jar, "PHPSESSID=", "other=", 1), "csrf=token,1", "csrf=token,2", 1)
	if got := see(mine + "; " + moved + "; made=up; sp1.x=1; q=sp1.AAAA; r=sp2."); got != "big="+big+"; theme=dark" {
		t.Errorf("of changed cookies the application sees %.200q", got)
	}
	if got := see("PHPSESSID=before; " + mine); got != "" {
		t.Errorf("of a cookie from before the login the application sees %q", got)
	}
	flood, _ := g.ask(t, "GET", "/flood", "", "Cookie: "+mine)
	if n := len(flood.Header.Values("Set-Cookie")); n == 0 || n > 400 {
		t.Errorf("of 2,000 cookies the browser gets %d", n)
	}
	if resp, body := g.ask(t, "POST", "/.sallyport/logout", "", "Cookie: "+mine, browser, "Content-Length: 0"); resp.StatusCode != 303 {
		t.Fatalf("logout: %d %s", resp.StatusCode, body)
	}
	if got := see(g.login(t, "crm", "acme", "alice", "member") + "; " + jar); got != "theme=dark" {
		t.Errorf("after logout and login the application sees %.200q", got)
	}
}

// second asks the second site and gives its answer.
func (g *wired) second(t *testing.T, cookie string) string {
	t.Helper()
	_, body := g.raw(t, "second.test", "GET /api/x HTTP/1.1\r\nHost: second.test\r\nConnection: close\r\nCookie: "+cookie+"\r\n\r\n")
	return body
}

// TestTheBackendsPasswordIsNowhere: the gateway logs in at an application that has a login of
// its own. Whatever happens there, no answer, log line or audit record holds the credential or the session.
func TestTheBackendsPasswordIsNowhere(t *testing.T) {
	t.Setenv("SALLYPORT_BACKEND_PASSWORD", "pa55-word-of-the-backend")
	var mode, logins atomic.Int64
	current := func() string { return fmt.Sprintf("backend-session-%d", logins.Load()) }
	g := newWired(t, func(text string) string {
		text = strings.Replace(text, "level: warn", "level: debug", 1)
		return strings.Replace(text, "      public:", `      upstream_auth:
        kind: login
        users: {"acme/*": {user: "svc", password: "env:SALLYPORT_BACKEND_PASSWORD"}}
        login: {path: "/login", type: application/x-www-form-urlencoded, body: "user={user}&password={password}", take: {sid: cookie.SID}, header: {Cookie: "SID={sid}"}}
      public:`, 1)
	})
	script := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			body, _ := io.ReadAll(r.Body)
			switch mode.Load() {
			case 1:
				w.WriteHeader(403)
				fmt.Fprintf(w, "wrong: %s", body)
				return
			case 2:
				conn, _, _ := http.NewResponseController(w).Hijack()
				conn.Close()
				return
			case 3:
				w.Header().Set("Set-Cookie", "SID=\x01bad")
				fmt.Fprintf(w, "%s", body)
				return
			}
			if r.Method != "POST" || !strings.Contains(string(body), "pa55-word") {
				w.WriteHeader(400)
				return
			}
			logins.Add(1)
			http.SetCookie(w, &http.Cookie{Name: "SID", Value: current()})
			w.WriteHeader(302)
			return
		}
		if r.Header.Get("Cookie") != "SID="+current() {
			w.WriteHeader(401)
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Set-Cookie", "SID="+current()+"; HttpOnly")
		io.WriteString(w, r.Method+" "+string(body))
	})
	g.script.Store(&script)
	var answers strings.Builder
	ask := func(user, tenant, method, body string, status int, what string) {
		t.Helper()
		header := []string{"Cookie: SID=mine; " + g.login(t, "crm", tenant, user, "member")}
		if body != "" {
			header = append(header, browser, "Content-Type: application/json")
		}
		resp, text := g.ask(t, method, "/api/contacts/7", body, header...)
		fmt.Fprintln(&answers, resp.Header, text)
		if resp.StatusCode != status || what != "" && code(text) != what && text != what {
			t.Errorf("%s of %s/%s: %d %s, want %d %s", method, tenant, user, resp.StatusCode, text, status, what)
		}
	}
	ask("alice", "acme", "GET", "", 200, "GET ")
	ask("alice", "acme", "PATCH", `{"a":1}`, 200, `PATCH {"a":1}`)
	ask("bob", "globex", "GET", "", 403, "no_backend_account")
	for m := range int64(3) {
		mode.Store(m + 1)
		want := 502
		ask(fmt.Sprintf("u%d", m), "acme", "GET", "", want, "")
	}
	mode.Store(0)
	logged := g.logged.String()
	var journal strings.Builder
	for _, line := range g.events(t, "") {
		journal.WriteString(line)
	}
	for place, text := range map[string]string{"an answer": answers.String(), "the log": logged, "the journal": journal.String(), "the metrics": g.ops(t, "/metrics")} {
		for _, secret := range []string{"pa55-word", "backend-session-"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %q:\n%s", place, secret, text)
			}
		}
	}
}

// TestOpenStreamsAcrossReloadAndLogout (P11): what is still allowed goes on, the rest is cut.
func TestOpenStreamsAcrossReloadAndLogout(t *testing.T) {
	g := newWired(t, func(text string) string {
		return strings.Replace(text, "      public:", "      websocket: opaque\n      public:", 1)
	})
	told := make(chan string)
	script := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Tenant-Id: globex\r\nSet-Cookie: a=b; HttpOnly\r\n\r\n")
			io.Copy(conn, rw)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case text := <-told:
				io.WriteString(w, text)
			}
		}
	})
	g.script.Store(&script)
	text, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	cookie := g.login(t, "crm", "acme", "alice", "admin")
	open := func(target, more string) (*tls.Conn, *bufio.Reader) {
		t.Helper()
		conn := g.dial(t, "crm.test")
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: crm.test\r\n%s\r\nCookie: %s\r\n%s\r\n", target, browser, cookie, more)
		in := bufio.NewReader(conn)
		head := ""
		for !strings.HasSuffix(head, "\r\n\r\n") {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatalf("%s: %q %v", target, head, err)
			}
			head += line
		}
		if strings.Contains(head, "globex") || strings.Contains(head, "a=b") || more != "" != strings.HasPrefix(head, "HTTP/1.1 101 ") {
			t.Fatalf("%s: %q", target, head)
		}
		return conn, in
	}
	const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	echo := func(conn *tls.Conn, in *bufio.Reader) error {
		io.WriteString(conn, "ping")
		_, err := io.ReadFull(in, make([]byte, 4))
		return err
	}
	cut := func(what string, conn *tls.Conn, in *bufio.Reader) {
		t.Helper()
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s goes on: %v", what, err)
		}
	}
	reload := func(change func(string) string) {
		t.Helper()
		old := g.active().hash()
		g.rename(t, change(string(text)))
		eventually(t, "the new plan", func() bool { return g.active().hash() != old })
	}

	kept, keptIn := open("/live/1", upgrade)
	lost, lostIn := open("/sold/1", upgrade)
	_, events := open("/events", "")
	if err := echo(kept, keptIn); err != nil {
		t.Fatal(err)
	}
	reload(func(text string) string {
		return strings.Replace(text, "        - {type: contact,", "        - {type: invoice, path: \"/sold/{id}\"}\n        - {type: contact,", 1)
	})
	cut("a WebSocket that is no longer theirs", lost, lostIn)
	if err := echo(kept, keptIn); err != nil {
		t.Errorf("a WebSocket that is still theirs: %v", err)
	}
	told <- "data: still here\n\n"
	if line, err := events.ReadString('\n'); err != nil {
		t.Errorf("an event stream that is still theirs: %q %v", line, err)
	}
	reload(func(text string) string { return strings.Replace(text, "websocket: opaque", "websocket: off", 1) })
	cut("a WebSocket where the site has none any more", kept, keptIn)
	reload(func(text string) string { return text + "\n# once more\n" })
	again, againIn := open("/live/2", upgrade)
	if resp, body := g.ask(t, "POST", "/.sallyport/logout", "", "Cookie: "+cookie, browser, "Content-Length: 0"); resp.StatusCode != 303 {
		t.Fatalf("logout: %d %s", resp.StatusCode, body)
	}
	cut("a WebSocket after logout", again, againIn)
	if line, err := io.ReadAll(events); err == nil && strings.HasSuffix(string(line), "0\r\n\r\n") {
		t.Errorf("the event stream ended as if it were whole: %q", line)
	}
}
