package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
	"github.com/sallyport/sallyport/configs"
	"github.com/sallyport/sallyport/secret"
)

// seen is what the backend got of one request.
type seen struct {
	Method, Target string
	Header         http.Header
	Body           string
	Trailer        http.Header
}

// wired is the real gateway with all its rooms, TLS and stores, in front of a backend that
// tells what it got. Nothing in it is a fake but the backend, and logins begin without a provider.
type wired struct {
	*Runtime
	addr string
	ca   *x509.CertPool
	file string
	// staleCookie is for tests that must ask again with a session from before something broke.
	staleCookie string
	// script, when set, answers in place of the backend.
	script atomic.Pointer[http.HandlerFunc]
	logged *lockedBuffer

	mu   sync.Mutex
	seen []seen
}

const wiredConfig = `
environment: test
edge:
  https: "127.0.0.1:0"
  http: "127.0.0.1:0"
  ops: "127.0.0.1:0"
  tls: {local_ca: true, storage: "%[1]s/certificates"}
store: {database: "sqlite:%[1]s/sallyport.db", master_key: "env:SALLYPORT_WIRED_KEY"}
proxy:
  sites:
    - name: crm
      hosts: [crm.test, other.test]
      upstreams: ["%[2]s"]
      tenant: {guard: [path.tenant, query.tenant_id, form.tenant_id, json.tenant_id]}
      public: ["/public/**"]
      cookies: {script: [theme]}
      bodies:
        - {path: "/api/notes/**", types: [application/json, text/plain]}
      resources:
        - {type: contact, path: "/api/contacts/{id}"}
        - {type: note, path: "/api/notes/{id}"}
        - {type: invoice, path: "/billing/{id}"}
        - {type: record, path: "/t/{tenant}/records/{id}"}
        - {type: deal, form: {path: "/deals/card.php", action: action, id: id, actions: {read: [view], delete: [confirm_delete]}}}
        - {type: model, jsonrpc: {path: "/rpc/", methods: {read: [read]}}}
    - name: second
      hosts: [second.test]
      upstreams: ["%[2]s"]
      tenant: {guard: [query.tenant_id]}
authn:
  oidc:
    - {name: idp-acme, tenant: acme, issuer: "https://idp.invalid/acme", client_id: x, client_secret: "env:SALLYPORT_WIRED_KEY", roles: {default: viewer}}
    - {name: idp-globex, tenant: globex, issuer: "https://idp.invalid/globex", client_id: x, client_secret: "env:SALLYPORT_WIRED_KEY", roles: {default: viewer}}
directory: {tenants: [{id: acme, name: Acme, domains: [acme.test]}, {id: globex, name: Globex, domains: [globex.test]}]}
policy: {areas: {invoice: billing}}
ratelimit: {per_address: 5000/s, per_user: 5000/s, per_tenant: 5000/s}
audit: {dir: "%[1]s/audit"}
telemetry: {log: {level: warn}}
web: {security_contact: "mailto:security@example.com"}
`

// newWired starts a gateway; change may edit its configuration's text.
func newWired(t testing.TB, change func(text string) string) *wired {
	t.Helper()
	g := &wired{}
	backend := httptest.NewServer(http.HandlerFunc(g.backend))
	t.Cleanup(backend.Close)
	t.Setenv("SALLYPORT_WIRED_KEY", secret.NewMasterKey().Text().Reveal())
	dir := t.TempDir()
	text := fmt.Sprintf(wiredConfig, dir, backend.URL)
	if change != nil {
		text = change(text)
	}
	g.file = filepath.Join(t.TempDir(), "sallyport.yaml")
	if err := os.WriteFile(g.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := configs.Load(g.file)
	if err != nil {
		t.Fatal(err)
	}
	g.logged = &lockedBuffer{}
	ctx, stop := context.WithCancel(context.Background())
	if g.Runtime, err = newRuntime(ctx, loaded, g.logged); err != nil {
		stop()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.run(ctx, watchFile(g.file, g.log)) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", g.logged)
		}
	})
	<-g.edge.Ready()
	<-g.journal.Opened()
	g.addr = g.edge.Addrs().HTTPS.String()
	g.ca = x509.NewCertPool()
	g.ca.AppendCertsFromPEM(g.edge.RootPEM())
	if err := g.sessions.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	return g
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (g *wired) backend(w http.ResponseWriter, r *http.Request) {
	if script := g.script.Load(); script != nil {
		(*script)(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	got := seen{r.Method, r.RequestURI, r.Header.Clone(), string(body), r.Trailer}
	got.Header.Set("Host", r.Host)
	g.mu.Lock()
	g.seen = append(g.seen, got)
	g.mu.Unlock()
	w.Header().Set("Server", "LegacyCRM/1.0")
	w.Header().Set("X-Powered-By", "PHP/5.6")
	if r.URL.Path == "/api/login-page" {
		http.SetCookie(w, &http.Cookie{Name: "PHPSESSID", Value: "backend-session", HttpOnly: true})
	}
	io.WriteString(w, "from the backend")
}

// took gives what the backend got since the last call.
func (g *wired) took() []seen {
	g.mu.Lock()
	defer g.mu.Unlock()
	got := g.seen
	g.seen = nil
	return got
}

// login begins a session as a provider's login would, and gives its Cookie header.
func (g *wired) login(t testing.TB, site, tenant, name string, roles ...string) string {
	t.Helper()
	id, err := access.ParseTenantID(tenant)
	if err != nil {
		t.Fatal(err)
	}
	ex := &access.Exchange{Request: httptest.NewRequest("GET", "https://crm.test/", nil), Site: &access.Site{Name: site}}
	err = g.sessions.Begin(t.Context(), ex, authn.Login{Tenant: id, Subject: name + "-id", Email: name + "@" + tenant + ".test", Roles: roles, Provider: "idp-" + tenant})
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, c := range ex.SetCookies {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}

func (g *wired) bearer(t testing.TB, site, tenant, name string, roles ...string) string {
	t.Helper()
	id, _ := access.ParseTenantID(tenant)
	token, err := g.sessions.Issue(t.Context(), &access.Site{Name: site}, authn.Login{Tenant: id, Subject: name + "-id", Email: name + "@" + tenant + ".test", Roles: roles, Provider: "idp-" + tenant})
	if err != nil {
		t.Fatal(err)
	}
	return token.Reveal()
}

// raw sends bytes as they are over TLS and reads one answer; {host} is crm.test.
func (g *wired) raw(t testing.TB, serverName, text string) (*http.Response, string) {
	t.Helper()
	conn, err := tls.Dial("tcp", g.addr, &tls.Config{ServerName: serverName, RootCAs: g.ca, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(text, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer to %.200q: %v", text, err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp, string(body)
}

// ask sends one request with the given header lines.
func (g *wired) ask(t testing.TB, method, target, body string, header ...string) (*http.Response, string) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: crm.test\r\nConnection: close\r\n", method, target)
	for _, line := range header {
		b.WriteString(line + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return g.raw(t, "crm.test", b.String())
}

// code is the reason code of a refusal.
func code(body string) string {
	var p struct {
		Code string `json:"code"`
		ID   string `json:"request_id"`
	}
	if json.Unmarshal([]byte(body), &p) != nil || p.ID == "" {
		return "?"
	}
	return p.Code
}
