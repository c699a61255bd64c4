package acme

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"github.com/sallyport/sallyport/edge"
	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/secret"
	"github.com/sallyport/sallyport/units"
)

const anyPort = "127.0.0.1:0"

// authority is a Pebble. Its validator comes to whatever ports serve is told.
type authority struct {
	server  *httptest.Server
	handler atomic.Pointer[http.Handler]
	orders  atomic.Int64
	root    *x509.CertPool
	caRoot  string // file with the root of the authority's own address
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := new(authority)
	a.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.Contains(r.URL.Path, "order-plz") {
			a.orders.Add(1)
		}
		(*a.handler.Load()).ServeHTTP(w, r)
	}))
	t.Cleanup(a.server.Close)
	a.caRoot = filepath.Join(t.TempDir(), "root.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})
	if err := os.WriteFile(a.caRoot, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// serve starts a Pebble that validates at the ports and issues for the given time. A
// port of 1 is one where nobody listens.
func (a *authority) serve(t *testing.T, httpPort, httpsPort int, validity time.Duration) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0") // a rejected one would be counted as an order
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(validity.Seconds())}})
	validator := va.New(quiet, httpPort, httpsPort, false, resolver(t), store)
	front := wfe.New(quiet, store, validator, issuer, []string{"pebble.letsencrypt.org"}, false, false, 1, 1)
	h := front.Handler()
	a.handler.Store(&h)
	a.root = x509.NewCertPool()
	a.root.AddCert(issuer.GetRootCert(0).Cert)
}

// resolver is a DNS server that finds every name on loopback.
func resolver(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	s := &dns.Server{Listener: ln, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1)})
		}
		_ = w.WriteMsg(m)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = s.Shutdown(); <-done })
	return ln.Addr().String()
}

// gate is an edge that runs with certificates of the authority.
type gate struct {
	*edge.Edge
	stop func()
	log  *bytes.Buffer
}

// prepare builds an edge and opens its ports.
func prepare(t *testing.T, a *authority, storage string, sealer edge.Sealer, https, plainHTTP string) *gate {
	t.Helper()
	g := &gate{log: new(bytes.Buffer)}
	e, err := edge.New(edge.Config{
		HTTPS: https, HTTP: plainHTTP, Ops: edge.Off, Drain: units.Span(5 * time.Second),
		TLS: edge.TLS{Storage: storage, ACME: edge.ACME{Email: "ops@example.com", Directory: a.server.URL + wfe.DirectoryPath, CARoot: a.caRoot}},
	}, edge.Deps{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") }), Ops: http.NotFoundHandler(),
		Sealer: sealer, Meter: observe.Discard{}, Health: observe.Discard{}, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(g.log, nil)), Hosts: func() []string { return []string{"crm.test"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Listen(); err != nil {
		t.Fatal(err)
	}
	g.Edge = e
	return g
}

func (g *gate) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	stopped := false
	g.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if t.Failed() {
			t.Log(g.log.String()) // nobody writes any more
		}
	}
	t.Cleanup(g.stop)
}

func (g *gate) handshake(name string, roots *x509.CertPool) (*x509.Certificate, error) {
	c, err := tls.Dial("tcp", g.Addrs().HTTPS.String(), &tls.Config{ServerName: name, RootCAs: roots})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

// certificate waits for one that the authority has issued, other than old.
func (g *gate) certificate(t *testing.T, a *authority, old *x509.Certificate) *x509.Certificate {
	t.Helper()
	var last error
	for range 600 {
		cert, err := g.handshake("crm.test", a.root)
		if err == nil && (old == nil || cert.SerialNumber.Cmp(old.SerialNumber) != 0) {
			return cert
		}
		last = err
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("no certificate: %v", last)
	return nil
}

func TestCertificatesComeByEitherChallenge(t *testing.T) {
	for name, plainHTTP := range map[string]string{"http-01": anyPort, "tls-alpn-01": edge.Off} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			storage := t.TempDir()
			g := prepare(t, a, storage, secret.NewMasterKey().Sealer("edge/certificates"), anyPort, plainHTTP)
			httpPort, httpsPort := int(g.Addrs().HTTP.Port()), 1
			if plainHTTP == edge.Off {
				httpPort, httpsPort = 1, int(g.Addrs().HTTPS.Port())
			}
			a.serve(t, httpPort, httpsPort, time.Hour)
			g.run(t)
			g.certificate(t, a, nil)
			if _, err := g.handshake("other.test", a.root); err == nil {
				t.Error("a name that is not configured is served")
			}
			assertSealed(t, storage)
		})
	}
}

func TestCertificatesOutliveARestart(t *testing.T) {
	a := newAuthority(t)
	storage, sealer := t.TempDir(), secret.NewMasterKey().Sealer("edge/certificates")
	first := prepare(t, a, storage, sealer, anyPort, anyPort)
	a.serve(t, int(first.Addrs().HTTP.Port()), int(first.Addrs().HTTPS.Port()), 90*24*time.Hour) // long, or the renewal window of RFC 9773 could begin at once
	first.run(t)
	old := first.certificate(t, a, nil)
	first.stop()

	second := prepare(t, a, storage, sealer, anyPort, anyPort)
	second.run(t)
	if again := second.certificate(t, a, nil); again.SerialNumber.Cmp(old.SerialNumber) != 0 {
		t.Error("after a restart the certificate is another")
	}
	if n := a.orders.Load(); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

func TestAnExpiredCertificateIsRenewedAtStart(t *testing.T) {
	a := newAuthority(t)
	storage, sealer := t.TempDir(), secret.NewMasterKey().Sealer("edge/certificates")
	first := prepare(t, a, storage, sealer, anyPort, anyPort)
	at := first.Addrs()
	a.serve(t, int(at.HTTP.Port()), int(at.HTTPS.Port()), 5*time.Second)
	first.run(t)
	old := first.certificate(t, a, nil)
	first.stop()
	time.Sleep(time.Until(old.NotAfter) + time.Second)

	second := prepare(t, a, storage, sealer, at.HTTPS.String(), at.HTTP.String()) // where Pebble validates
	second.run(t)
	second.certificate(t, a, old)
}

// assertSealed looks into every file of a storage: nothing may be in clear.
func assertSealed(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path, filepath.Join(dir, "locks")) {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		for _, clear := range []string{"-----BEGIN", "PRIVATE KEY", "\"url\"", "ops@example.com"} {
			if bytes.Contains(b, []byte(clear)) {
				t.Errorf("%s shows %q", path, clear)
			}
		}
		return err
	})
	if err != nil || files < 5 { // account and its key; certificate, key and metadata
		t.Errorf("%d files, %v", files, err)
	}
}
