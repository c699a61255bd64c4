package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/secret"
	"github.com/sallyport/sallyport/units"
)

func tenantID(t testing.TB, id string) access.TenantID {
	t.Helper()
	tenant, err := access.ParseTenantID(id)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

func alice(t testing.TB) *access.Identity {
	return &access.Identity{Subject: "u1", Email: "alice@acme.test", Roles: []string{"member", "viewer"}, Tenant: tenantID(t, "acme"),
		SessionID: "s1", LoginID: "l1"}
}

// signer is an Asserter.
type signer func(*access.Exchange) (string, error)

func (s signer) Assertion(_ context.Context, ex *access.Exchange) (string, error) { return s(ex) }

// front is the upstream half alone behind a real server: a test says what the gates found.
type front struct {
	backends *backends
	plan     *Plan
	streams  *Streams
	jar      *Jar
	log      bytes.Buffer
	server   *httptest.Server
	refused  atomic.Pointer[access.Refusal]
	site     *site
	// exchange changes what the gates would have written. It runs on the server's goroutine.
	exchange func(*access.Exchange)
	// idle is given a token when an exchange has ended.
	idle chan struct{}
}

func newFront(t testing.TB, cfg SiteConfig, exchange func(*access.Exchange)) *front {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name, cfg.Hosts = "crm", []string{"crm.test"}
	}
	f := &front{streams: NewStreams(), jar: NewJar(0, 0), exchange: exchange, idle: make(chan struct{}, 1000)}
	all, err := newSites(Config{Sites: []SiteConfig{cfg}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rooms := Rooms{Streams: f.streams, Jar: f.jar, Seal: secret.NewMasterKey().Sealer("test"), Meter: observe.Discard{},
		Log: slog.New(slog.NewTextHandler(&f.log, nil)), Asserter: signer(func(*access.Exchange) (string, error) { return "signed", nil })}
	if f.backends, err = newBackends(all, rooms); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.backends.close)
	f.site = all.list[0]
	f.plan = &Plan{mint: access.NewMint(), sites: all, backends: f.backends, rooms: rooms}
	who := alice(t)
	f.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { f.idle <- struct{}{} }()
		ex := f.plan.mint.Receive(access.Exchange{Request: r, ID: "request-1", Received: time.Now(), Client: access.Client{Addr: netip.MustParseAddr("192.0.2.7")},
			Site: &f.site.Site, Target: access.Target{Raw: r.RequestURI, Path: r.URL.Path}, Identity: who, Credential: access.CookieCredential,
			Route: access.Route{Class: access.App, ReadOnly: r.Method == "GET"}})
		if r.Body != nil && r.Body != http.NoBody {
			ex.Body = access.Body{Present: true, Size: -1, Stream: r.Body}
		}
		if f.exchange != nil {
			f.exchange(ex)
		}
		a := &answer{ResponseWriter: w, ex: ex, harden: f.plan.harden}
		ex.Writer = a
		if err := f.backends.serve(ex); err != nil {
			refusal := (*access.Refusal)(nil)
			if !errors.As(err, &refusal) {
				t.Errorf("serve gave %v, which is no refusal", err)
				return
			}
			f.refused.Store(refusal)
			if a.status != 0 {
				t.Errorf("refused with %v after %d was written", err, a.status)
			}
			http.Error(a, refusal.Code, refusal.Status)
		}
	}))
	f.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	f.server.Start()
	t.Cleanup(f.server.Close)
	return f
}

// raw sends bytes to the gateway as they stand and gives the connection.
func (f *front) raw(t testing.TB, request string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", f.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn
}

// ask sends bytes and reads one answer.
func (f *front) ask(t testing.TB, request string) *http.Response {
	t.Helper()
	return readAnswer(t, bufio.NewReader(f.raw(t, request)))
}

func readAnswer(t testing.TB, r *bufio.Reader) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res
}

func text(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// socket is a backend that sees every byte: for each connection it calls serve.
func socket(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(20 * time.Second))
				serve(conn)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// echoHead answers with the head that it got, byte for byte, and ends the connection.
func echoHead(conn net.Conn) {
	r := bufio.NewReader(conn)
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			break
		}
	}
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", head.Len(), head.String())
}

// arrived gives request line and header lines that a socket with echoHead saw.
func arrived(t testing.TB, res *http.Response) (line string, headers []string) {
	t.Helper()
	if res.StatusCode != 200 {
		t.Fatalf("status %d: %s", res.StatusCode, text(t, res))
	}
	lines := strings.Split(strings.TrimSuffix(text(t, res), "\r\n\r\n"), "\r\n")
	slices.Sort(lines[1:])
	return lines[0], lines[1:]
}

func TestTheBackendSeesExactlyTheseHeaders(t *testing.T) {
	addr := socket(t, echoHead)
	f := newFront(t, SiteConfig{Upstreams: []string{addr}}, nil)
	line, got := arrived(t, f.ask(t, "GET /a?b=c HTTP/1.1\r\nHost: crm.test\r\nUser-Agent: browser\r\nReferer: https://crm.test/x\r\nAccept-Encoding: br\r\n"+
		"Authorization: Bearer ours\r\nConnection: close\r\n\r\n"))
	want := []string{
		"Accept-Encoding: br",
		"Host: crm.test",
		"Referer: https://crm.test/x",
		"User-Agent: browser",
		"X-Forwarded-For: 192.0.2.7",
		"X-Forwarded-Host: crm.test",
		"X-Forwarded-Proto: https",
		"X-Request-Id: request-1",
		"X-Sallyport-Assertion: signed",
		"X-Tenant-Id: acme",
		"X-User-Email: alice@acme.test",
		"X-User-Id: u1",
		"X-User-Roles: member,viewer",
	}
	if line != "GET /a?b=c HTTP/1.1" || !slices.Equal(got, want) {
		t.Errorf("%s\n%s\nwant\n%s", line, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAPublicRequestTellsNobodysName(t *testing.T) {
	f := newFront(t, SiteConfig{Upstreams: []string{socket(t, echoHead)}, UpstreamAuth: &UpstreamAuth{Kind: "header"}},
		func(ex *access.Exchange) { ex.Route.Class = access.Public })
	_, got := arrived(t, f.ask(t, "GET /logo.png HTTP/1.1\r\nHost: crm.test\r\nCookie: a=b\r\nX-Remote-User: root\r\nConnection: close\r\n\r\n"))
	want := []string{"Host: crm.test", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Host: crm.test", "X-Forwarded-Proto: https", "X-Request-Id: request-1"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// TestWhatClientsSendInOurNameNeverArrives is the attack table's part on identity headers,
// at Rewrite alone: the sanitize gate is not there.
func TestWhatClientsSendInOurNameNeverArrives(t *testing.T) {
	f := newFront(t, SiteConfig{Upstreams: []string{socket(t, echoHead)}, Headers: HeadersConfig{Protect: []string{"X-Api-Key"}}}, nil)
	for name, lines := range map[string]string{
		"H01 once":                         "X-Tenant-ID: globex",
		"H01 thrice in any case":           "X-TENANT-ID: globex\r\nx-tenant-id: globex\r\nX-Tenant-Id: acme",
		"H02 underscores":                  "X_Tenant_ID: globex\r\nX-Tenant_ID: globex",
		"H03 dots and others":              "X.Tenant.ID: globex\r\nX~Tenant~ID: globex\r\nX!Tenant'ID: globex",
		"H05 named by a second Connection": "Connection:\r\nConnection: X-Tenant-Id, X-User-ID, X-Request-Id",
		"H07 other identities": "X-Forwarded-User: globex\r\nRemote-User: globex\r\nX-Auth-Request-Email: globex\r\nX-Remote-Group: globex\r\n" +
			"Authorization: globex\r\nX_User_Id: globex\r\nX.User.Roles: globex\r\nX-User-Email: globex\r\nX-Sallyport-Assertion: globex",
		"H09 unparsable address":             "X-Forwarded-For: a, globex\r\nX-Forwarded-For: ,",
		"H10 rewritten addresses":            "X-Forwarded-Uri: globex\r\nX-Original-URL: globex\r\nX-Rewrite-URL: globex\r\nX_Original_URL: globex",
		"H11 forwarding":                     "X-Forwarded-Prefix: globex\r\nForwarded: for=globex\r\nX_Forwarded_Proto: globex\r\nX-Forwarded-Host: globex\r\nX-Real-IP: globex\r\nClient-IP: globex\r\nCF-Connecting-IP: globex\r\nTrue-Client-IP: globex",
		"P07 method overrides":               "X-HTTP-Method-Override: globex\r\nX-HTTP-Method: globex\r\nX-Method-Override: globex",
		"a request id of their own":          "X-Request-ID: globex",
		"names the file protects":            "X-Api-Key: globex\r\nX_Api_Key: globex",
		"odd spellings of what gates judged": "Content_Type: globex\r\nTransfer.Encoding: globex\r\nCookie!: x\r\nHost_: x\r\nContent_Length: globex\r\nAUTHORIZATION: globex",
		"httpoxy":                            "Proxy: globex",
		"expectation and trailers":           "Expect: 100-continue\r\nTE: trailers\r\nTrailer: globex\r\nHTTP2-Settings: globex",
	} {
		_, got := arrived(t, f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n"+lines+"\r\nAccept: */*\r\n\r\n"))
		tenants := 0
		for _, line := range got {
			if strings.Contains(line, "globex") || strings.HasPrefix(line, "Te") || strings.HasPrefix(line, "Expect") {
				t.Errorf("%s: %q arrived", name, line)
			}
			if access.FoldName(line[:strings.IndexByte(line, ':')]) == "x-tenant-id" {
				tenants++
			}
		}
		if tenants != 1 || !slices.Contains(got, "X-Tenant-Id: acme") || !slices.Contains(got, "X-User-Id: u1") || !slices.Contains(got, "X-Request-Id: request-1") ||
			!slices.Contains(got, "X-Forwarded-For: 192.0.2.7") || !slices.Contains(got, "Accept: */*") {
			t.Errorf("%s: got\n%s", name, strings.Join(got, "\n"))
		}
	}
}

func TestAContentTypeThatConnectionNamesStillArrives(t *testing.T) {
	addr := socket(t, func(conn net.Conn) { echoHead(conn) })
	f := newFront(t, SiteConfig{Upstreams: []string{addr}}, nil)
	_, got := arrived(t, f.ask(t, "POST / HTTP/1.1\r\nHost: crm.test\r\nConnection: Content-Type, X-Mine\r\nX-Mine: 1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"))
	if !slices.Contains(got, "Content-Type: application/json") || slices.Contains(got, "X-Mine: 1") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestEachAppSeesTheAssertionMadeForIt(t *testing.T) { // H17, H18: who signs decides by exchange, so audience and tenant are right
	f := newFront(t, SiteConfig{Upstreams: []string{socket(t, echoHead)}}, nil)
	at := f.backends.bySite[&f.site.Site]
	at.asserter = signer(func(ex *access.Exchange) (string, error) {
		return "aud=" + ex.Site.Name + "&tenant=" + ex.Tenant().String(), nil
	})
	_, got := arrived(t, f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n"))
	if !slices.Contains(got, "X-Sallyport-Assertion: aud=crm&tenant=acme") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	for name, bad := range map[string]signer{
		"an error":          func(*access.Exchange) (string, error) { return "x", errors.New("no key") },
		"nothing":           func(*access.Exchange) (string, error) { return "", nil },
		"no header's value": func(*access.Exchange) (string, error) { return "a\r\nX-Tenant-ID: b", nil },
	} {
		at.asserter = bad
		if res := f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n"); res.StatusCode != 503 {
			t.Errorf("with %s for an assertion: %d, want 503", name, res.StatusCode)
		}
	}
}

func TestAnIdentityThatIsNoHeaderIsRefusedOrEncoded(t *testing.T) {
	who := alice(t)
	f := newFront(t, SiteConfig{Upstreams: []string{socket(t, echoHead)}}, func(ex *access.Exchange) { ex.Identity = who })
	for _, c := range []struct {
		name          string
		email, id     string
		roles         []string
		status        int
		header, value string
	}{
		{"a line break in the e-mail", "a@b\r\nX-Tenant-ID: globex", "u", nil, 403, "", ""},
		{"a NUL in the subject", "a@b", "u\x00", nil, 403, "", ""},
		{"a comma in a role", "a@b", "u", []string{"member", "viewer,owner"}, 403, "", ""},
		{"a comma in the only role", "a@b", "u", []string{"viewer,owner"}, 403, "", ""},
		{"an empty role", "a@b", "u", []string{"", "member"}, 403, "", ""},
		{"a value without end", strings.Repeat("a", 9000), "u", nil, 403, "", ""},
		{"umlauts", "jürgen@b", "u", nil, 200, "X-User-Email", "j%C3%BCrgen@b"},
		{"what looks encoded", "j%C3%BCrgen@b", "u", nil, 200, "X-User-Email", "j%25C3%25BCrgen@b"},
		{"a space", "a@b", "u 1", nil, 200, "X-User-Id", "u%201"},
		{"one role", "a@b", "u", []string{"owner"}, 200, "X-User-Roles", "owner"},
	} {
		who = &access.Identity{Subject: c.id, Email: c.email, Roles: c.roles, Tenant: tenantID(t, "acme"), SessionID: "s", LoginID: "l"}
		res := f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n")
		if res.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", c.name, res.StatusCode, c.status)
			continue
		}
		if c.status == 200 {
			if _, got := arrived(t, res); !slices.Contains(got, c.header+": "+c.value) {
				t.Errorf("%s: want %s: %s, got\n%s", c.name, c.header, c.value, strings.Join(got, "\n"))
			}
		}
	}
	who = &access.Identity{Subject: "u"}
	if res := f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n"); res.StatusCode != 503 {
		t.Errorf("an identity without tenant: %d, want 503", res.StatusCode)
	}
	who = nil
	if res := f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n"); res.StatusCode != 503 {
		t.Errorf("no identity: %d, want 503", res.StatusCode)
	}
}

func TestOnlyWebSocketsChangeTheProtocolAndOnlyWhereTheSiteSaysSo(t *testing.T) { // H15
	reached := new(atomic.Int64)
	addr := socket(t, func(conn net.Conn) { reached.Add(1); echoHead(conn) })
	for mode, lines := range map[string][]string{
		"off":    {"Connection: Upgrade\r\nUpgrade: websocket", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"},
		"opaque": {"Connection: Upgrade\r\nUpgrade: h2c", "Connection: Upgrade\r\nUpgrade: websocket, h2c", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c", "Upgrade: websocket"},
	} {
		f := newFront(t, SiteConfig{Upstreams: []string{addr}, WebSocket: mode}, nil)
		for _, upgrade := range lines {
			if res := f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n"+upgrade+"\r\n\r\n"); res.StatusCode != 403 {
				t.Errorf("websocket %s, %q: %d, want 403", mode, upgrade, res.StatusCode)
			}
		}
	}
	if reached.Load() != 0 {
		t.Errorf("the backend was reached %d times", reached.Load())
	}
}

func TestATenantReachesItsOwnUpstreamOrNone(t *testing.T) {
	of := func(name string) string {
		return socket(t, func(conn net.Conn) {
			http.ReadRequest(bufio.NewReader(conn))
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s", name)
		})
	}
	who := alice(t)
	class := access.App
	f := newFront(t, SiteConfig{Tenant: TenantConfig{Upstreams: map[string][]string{"acme": {of("acme")}, "globex": {of("globex")}}}},
		func(ex *access.Exchange) { ex.Identity, ex.Route.Class = who, class })
	for _, tenant := range []string{"acme", "globex"} {
		who = &access.Identity{Subject: "u", Tenant: tenantID(t, tenant)}
		if res := f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n"); res.StatusCode != 200 || text(t, res) != tenant {
			t.Errorf("%s reached another upstream: %d", tenant, res.StatusCode)
		}
	}
	who = &access.Identity{Subject: "u", Tenant: tenantID(t, "initech")}
	if res := f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n"); res.StatusCode != 403 {
		t.Errorf("a tenant without upstream: %d, want 403", res.StatusCode)
	}
	who, class = nil, access.Public
	if res := f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n"); res.StatusCode != 403 {
		t.Errorf("nobody's tenant: %d, want 403", res.StatusCode)
	}
}

func TestAnotherAddressIsTriedOnlyWhenNoConnectionWasMade(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + l.Addr().String()
	l.Close()
	var alive, slams atomic.Int64
	good := socket(t, func(conn net.Conn) { alive.Add(1); echoHead(conn) })
	f := newFront(t, SiteConfig{Upstreams: []string{dead, good}}, nil)
	for range 6 {
		res := f.ask(t, "POST / HTTP/1.1\r\nHost: crm.test\r\nContent-Length: 2\r\n\r\nhi")
		if res.StatusCode != 200 {
			t.Fatalf("one of two addresses lives, yet %d", res.StatusCode)
		}
	}
	if alive.Load() != 6 {
		t.Errorf("the living address got %d requests, want 6", alive.Load())
	}
	if tried := f.backends.bySite[&f.site.Site].pool.targets[0].fails.Load(); tried != 1 {
		t.Errorf("the dead address was tried %d times, want once: it rests then", tried)
	}

	slam := socket(t, func(conn net.Conn) { slams.Add(1); http.ReadRequest(bufio.NewReader(conn)) })
	f = newFront(t, SiteConfig{Upstreams: []string{slam, slam}}, nil)
	if res := f.ask(t, "POST / HTTP/1.1\r\nHost: crm.test\r\nContent-Length: 2\r\n\r\nhi"); res.StatusCode != 502 || slams.Load() != 1 {
		t.Errorf("%d after %d attempts, want 502 after one: the first may have done it", res.StatusCode, slams.Load())
	}
}

func TestALegacyGetThatMayChangeSomethingIsNeverSentTwice(t *testing.T) {
	for _, readOnly := range []bool{true, false} {
		var requests atomic.Int64
		addr := socket(t, func(conn net.Conn) {
			r := bufio.NewReader(conn)
			for {
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				if requests.Add(1) == 2 {
					return // got it, perhaps did it, and was gone
				}
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
		f := newFront(t, SiteConfig{Upstreams: []string{addr}}, func(ex *access.Exchange) { ex.Route.ReadOnly = readOnly })
		f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n")
		second := f.ask(t, "GET /card.php?action=confirm_delete HTTP/1.1\r\nHost: crm.test\r\n\r\n")
		if readOnly && (second.StatusCode != 200 || requests.Load() != 3) || !readOnly && (second.StatusCode != 502 || requests.Load() != 2) {
			t.Errorf("read-only %v: %d after %d requests", readOnly, second.StatusCode, requests.Load())
		}
	}
}

func TestAMutatingGetHasNoBodyOnTheWire(t *testing.T) {
	f := newFront(t, SiteConfig{Upstreams: []string{socket(t, echoHead)}}, func(ex *access.Exchange) { ex.Route.ReadOnly = false })
	for _, method := range []string{"GET", "OPTIONS", "DELETE", "POST"} {
		_, got := arrived(t, f.ask(t, method+" / HTTP/1.1\r\nHost: crm.test\r\n\r\n"))
		for _, line := range got {
			if strings.HasPrefix(line, "Transfer-Encoding") || strings.HasPrefix(line, "Content-Length") && line != "Content-Length: 0" {
				t.Errorf("%s: %s", method, line)
			}
		}
	}
}

func TestAnAddressTakesNoMoreThanItsShare(t *testing.T) {
	release := make(chan struct{})
	inside := make(chan struct{}, 2)
	addr := socket(t, func(conn net.Conn) { inside <- struct{}{}; <-release; echoHead(conn) })
	f := newFront(t, SiteConfig{Upstreams: []string{addr}, Upstream: UpstreamConfig{MaxConns: 1}}, nil)
	first := f.raw(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n")
	<-inside
	if res := f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n"); res.StatusCode != 503 || f.refused.Load().Code != "upstream_busy" {
		t.Errorf("over the limit: %d", res.StatusCode)
	}
	close(release)
	if res := readAnswer(t, bufio.NewReader(first)); res.StatusCode != 200 {
		t.Errorf("the first: %d", res.StatusCode)
	}
	<-f.idle
	<-f.idle
	if n := f.backends.bySite[&f.site.Site].pool.targets[0].inFlight.Load(); n != 0 {
		t.Errorf("%d in flight when all is done", n)
	}
}

func TestTheAddressWithLeastInFlightIsPicked(t *testing.T) {
	p, err := newPool([]string{"http://a:1", "http://b:1", "http://c:1"}, UpstreamConfig{MaxConns: 10}, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	for range 9 {
		p.pick(now, nil)
	}
	for _, target := range p.targets {
		if n := target.inFlight.Load(); n != 3 {
			t.Errorf("%s has %d of 9 in flight, want 3", target.url.Host, n)
		}
	}
	p.targets[0].failed(now)
	p.targets[1].sick.Store(true)
	for range 5 {
		if got := p.pick(now, nil); got != p.targets[2] {
			t.Errorf("picked %s, which is not well", got.url.Host)
		}
	}
	if got := p.pick(now.Add(firstRest), []*target{p.targets[2]}); got != p.targets[0] {
		t.Errorf("picked %s, want the one that has rested", got.url.Host)
	}
	p.targets[2].sick.Store(true)
	p.targets[0].sick.Store(true)
	if p.pick(now, nil) == nil {
		t.Error("with all sick none is tried: a stale verdict is an outage")
	}
	for range 10 {
		p.targets[0].failed(now)
	}
	if rest := time.Duration(p.targets[0].rests.Load() - now.UnixNano()); rest != longestRest {
		t.Errorf("after many failures it rests %v, want %v", rest, longestRest)
	}
}

func TestASickAddressIsFoundByItsHealthPath(t *testing.T) {
	var status atomic.Int64
	status.Store(500)
	probed := make(chan string, 10)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(int(status.Load()))
		probed <- r.URL.Path
	}))
	t.Cleanup(backend.Close)
	transport, err := newTransport("", UpstreamConfig{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	probes := newProber("/health", transport)
	p, err := newPool([]string{backend.URL}, UpstreamConfig{MaxConns: 10}, probes)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1000, 0)
	p.pick(now, nil)
	if path := <-probed; path != "/health" {
		t.Errorf("probed %s", path)
	}
	probes.wg.Wait()
	if !p.targets[0].sick.Load() {
		t.Error("an address that answers 500 counts as well")
	}
	status.Store(404)
	p.pick(now.Add(probeEvery-1), nil)
	p.pick(now.Add(probeEvery), nil)
	probes.wg.Wait()
	if p.targets[0].sick.Load() || len(probed) != 1 {
		t.Errorf("sick %v after an answer of 404, %d further probes, want well after one", p.targets[0].sick.Load(), len(probed))
	}
	probes.close()
	p.pick(now.Add(time.Hour), nil)
	probes.wg.Wait()
	if len(probed) != 1 {
		t.Error("a closed plan still probes")
	}
}

func TestWhoseFaultItIs(t *testing.T) {
	dead := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return "http://" + l.Addr().String()
	}()
	slow := socket(t, func(conn net.Conn) { http.ReadRequest(bufio.NewReader(conn)); io.Copy(io.Discard, conn) })
	drain := socket(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	broken := socket(t, func(conn net.Conn) { http.ReadRequest(bufio.NewReader(conn)); io.WriteString(conn, "what?\r\n\r\n") })
	odd := socket(t, func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n")
	})
	asked := socket(t, func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
	})
	refuse := func(err error) func(*access.Exchange) {
		return func(ex *access.Exchange) { ex.Body.Stream = io.NopCloser(failingReader{err}) }
	}
	const get, post = "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n", "POST / HTTP/1.1\r\nHost: crm.test\r\nContent-Length: 10\r\n\r\n0123456789"
	for _, c := range []struct {
		name, upstream, request string
		exchange                func(*access.Exchange)
		status                  int
		code                    string
	}{
		{"nobody listens", dead, get, nil, 502, "upstream_unreachable"},
		{"no answer in time", slow, get, nil, 504, "upstream_timeout"},
		{"an answer that is not HTTP", broken, get, nil, 502, "upstream_unreachable"},
		{"a status that is none", odd, get, nil, 502, "upstream_unreachable"},
		{"a switch that nobody asked for", asked, get, nil, 502, "upstream_unreachable"},
		{"a field of another tenant in the stream", drain, post, refuse(access.Refuse(403, "tenant_mismatch", "", "")), 403, "tenant_mismatch"},
		{"a body over the limit", drain, post, refuse(fmt.Errorf("read: %w", &http.MaxBytesError{Limit: 5})), 413, "body_too_large"},
		{"a body that breaks off", drain, post, refuse(io.ErrUnexpectedEOF), 400, "body_unreadable"},
		{"a body too slow", drain, post, refuse(os.ErrDeadlineExceeded), 408, "body_too_slow"},
		{"a chunk that is none", drain, "POST / HTTP/1.1\r\nHost: crm.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", nil, 400, "body_unreadable"},
		{"a spool that is gone", drain, post, func(ex *access.Exchange) {
			ex.Body.Stream, ex.Body.Size = nil, 10
			ex.Body.Open = func() (io.ReadCloser, error) { return nil, os.ErrNotExist }
		}, 503, "body_unavailable"},
		{"a spool that breaks", drain, post, func(ex *access.Exchange) {
			ex.Body.Stream, ex.Body.Size = nil, 10
			ex.Body.Open = func() (io.ReadCloser, error) { return io.NopCloser(failingReader{io.ErrNoProgress}), nil }
		}, 503, "body_unavailable"},
		{"a body that nobody read", drain, post, func(ex *access.Exchange) { ex.Body.Stream = nil }, 503, "body_unavailable"},
		{"a target that is no path", drain, get, func(ex *access.Exchange) { ex.Target.Raw = "//evil.test/" }, 503, "target_unsafe"},
		{"a site of another plan", drain, get, func(ex *access.Exchange) { ex.Site = &access.Site{} }, 503, "no_backend"},
		{"a page of ours", drain, get, func(ex *access.Exchange) { ex.Route.Class = access.Console }, 503, "corridor_incomplete"},
	} {
		f := newFront(t, SiteConfig{Upstreams: []string{c.upstream}, Upstream: UpstreamConfig{Header: units.Span(50 * time.Millisecond)}}, c.exchange)
		res := f.ask(t, c.request)
		if res.StatusCode != c.status || strings.TrimSpace(text(t, res)) != c.code {
			t.Errorf("%s: %d %v, want %d %s", c.name, res.StatusCode, f.refused.Load(), c.status, c.code)
		}
	}
}

type failingReader struct{ err error }

func (r failingReader) Read(p []byte) (int, error) { return copy(p, "01"), r.err }

func TestAClientThatLeavesIsNotTheBackendsFault(t *testing.T) {
	inside := make(chan struct{})
	addr := socket(t, func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		close(inside)
		io.Copy(io.Discard, conn)
	})
	f := newFront(t, SiteConfig{Upstreams: []string{addr}}, nil)
	conn := f.raw(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n")
	<-inside
	conn.Close()
	<-f.idle
	if got := f.refused.Load(); got == nil || got.Status != 499 || got.Code != "client_gone" {
		t.Errorf("refused with %v, want client_gone", got)
	}
}

func TestARefusedStreamNeverEndsAtTheBackend(t *testing.T) {
	for name, head := range map[string]string{"with a length": "Content-Length: 6", "chunked": "Transfer-Encoding: chunked"} {
		got := make(chan error, 1)
		addr := socket(t, func(conn net.Conn) {
			r, err := http.ReadRequest(bufio.NewReader(conn))
			if err == nil {
				_, err = io.ReadAll(r.Body)
			}
			got <- err
		})
		f := newFront(t, SiteConfig{Upstreams: []string{addr}}, func(ex *access.Exchange) {
			ex.Body.Stream = io.NopCloser(io.MultiReader(io.LimitReader(ex.Request.Body, 5), failingReader{access.Refuse(403, "tenant_mismatch", "", "")}))
		})
		body := "012345"
		if name == "chunked" {
			body = "6\r\n012345\r\n0\r\n\r\n"
		}
		res := f.ask(t, "POST / HTTP/1.1\r\nHost: crm.test\r\n"+head+"\r\n\r\n"+body)
		if err := <-got; err == nil {
			t.Errorf("%s: the backend got a whole body", name)
		}
		if res.StatusCode != 403 {
			t.Errorf("%s: %d, want 403", name, res.StatusCode)
		}
	}
}

func TestOneFramingAndTheJudgedBytes(t *testing.T) {
	type seen struct {
		length   int64
		encoding []string
		body     string
		trailer  http.Header
	}
	got := make(chan seen, 1)
	addr := socket(t, func(conn net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.ContentLength, r.TransferEncoding, string(body), r.Trailer}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	spool := func(ex *access.Exchange) {
		b, _ := io.ReadAll(ex.Request.Body)
		ex.Body.Stream, ex.Body.Size = nil, int64(len(b))
		ex.Body.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	}
	const chunked = "POST / HTTP/1.1\r\nHost: crm.test\r\nTrailer: X-Tenant-Id, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Tenant-Id: globex\r\nX-Sum: 7\r\n\r\n"
	for _, c := range []struct {
		name, request string
		trailers      []string
		exchange      func(*access.Exchange)
		length        int64
		body, sum     string
	}{
		{"spooled chunks arrive with a length", chunked, nil, spool, 2, "hi", ""},
		{"a stream of known length keeps it", "POST / HTTP/1.1\r\nHost: crm.test\r\nContent-Length: 2\r\n\r\nhi", nil, nil, 2, "hi", ""},
		{"a stream of unknown length is chunked, H06 without trailers", chunked, nil, nil, -1, "hi", ""},
		{"an empty body", "POST / HTTP/1.1\r\nHost: crm.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", nil, spool, 0, "", ""},
		{"a trailer that the site lets pass, spooled", chunked, []string{"X-Sum", "X-Tenant-ID", "Content-Length"}, spool, -1, "hi", "7"},
		{"a trailer that the site lets pass, streamed", chunked, []string{"x-sum"}, nil, -1, "hi", "7"},
		{"both framings arrive as one", "POST / HTTP/1.1\r\nHost: crm.test\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", nil, spool, 2, "hi", ""},
	} {
		f := newFront(t, SiteConfig{Upstreams: []string{addr}, Trailers: c.trailers}, c.exchange)
		if res := f.ask(t, c.request); res.StatusCode != 200 {
			t.Errorf("%s: %d", c.name, res.StatusCode)
			continue
		}
		s := <-got
		if s.length != c.length || s.body != c.body || s.trailer.Get("X-Sum") != c.sum || s.trailer.Get("X-Tenant-Id") != "" || (s.length >= 0) != (len(s.encoding) == 0) {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

func pemOf(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func TestTLSToTheBackendIsVerified(t *testing.T) {
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	backend.EnableHTTP2 = true
	backend.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	backend.StartTLS()
	t.Cleanup(backend.Close)
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.Config.ErrorLog = backend.Config.ErrorLog
	old.StartTLS()
	t.Cleanup(old.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pemOf(backend), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		addr   string
		cfg    UpstreamConfig
		status int
	}{
		{"an unknown root", backend.URL, UpstreamConfig{}, 502},
		{"a root of the file", backend.URL, UpstreamConfig{CA: ca}, 200},
		{"another name", backend.URL, UpstreamConfig{CA: ca, ServerName: "crm.internal"}, 502},
		{"the name it has", backend.URL, UpstreamConfig{CA: ca, ServerName: "example.com"}, 200},
		{"TLS 1.1", old.URL, UpstreamConfig{CA: ca}, 502},
	} {
		f := newFront(t, SiteConfig{Upstreams: []string{c.addr}, Upstream: c.cfg}, nil)
		res := f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n")
		if res.StatusCode != c.status || c.status == 200 && text(t, res) != "HTTP/2.0" {
			t.Errorf("%s: %d, want %d", c.name, res.StatusCode, c.status)
		}
	}
}
