package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/secret"
	"github.com/sallyport/sallyport/units"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// A lock's keeper in certmagic.FileStorage sleeps for 5 s before it sees that the
		// lock is gone.
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
}

// meter counts, by name and label values.
type meter struct {
	mu   sync.Mutex
	rows map[string]float64
}

type row struct {
	m    *meter
	name string
}

func (m *meter) Counter(name, _ string, _ ...string) observe.Counter { return row{m, name} }
func (m *meter) Gauge(name, _ string, _ ...string) observe.Gauge     { return row{m, name} }
func (m *meter) Histogram(string, string, []float64, ...string) observe.Histogram {
	return observe.Discard{}
}

func (r row) key(values []string) string {
	return strings.Join(append([]string{r.name}, values...), " ")
}

func (r row) Add(n float64, values ...string) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.m.rows[r.key(values)] += n
}

func (r row) Set(n float64, values ...string) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if r.m.rows[r.key(values)] = n; math.IsNaN(n) {
		delete(r.m.rows, r.key(values))
	}
}

func (m *meter) get(key string) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rows[key]
}

func (m *meter) has(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.rows[key]
	return ok
}

// health remembers every report.
type health struct {
	mu   sync.Mutex
	last map[string]error
	all  []string
}

func (h *health) Report(component string, fatal bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last[component] = err
	h.all = append(h.all, fmt.Sprintf("%s fatal=%v: %v", component, fatal, err))
}

func (h *health) of(component string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last[component]
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// gate is an Edge that runs.
type gate struct {
	*Edge
	t      *testing.T
	meter  *meter
	health *health
	log    *syncBuffer
	done   chan error
	cancel context.CancelFunc
}

// local is a configuration on loopback with the local authority.
func local(t *testing.T) Config {
	return Config{HTTPS: "127.0.0.1:0", HTTP: "127.0.0.1:0", Ops: "127.0.0.1:0", Drain: units.Span(10 * time.Second),
		TLS: TLS{LocalCA: true, Storage: t.TempDir()}}
}

func deps(hosts ...string) Deps {
	return Deps{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello "+r.Proto) }),
		Ops: http.NotFoundHandler(), Sealer: secret.NewMasterKey().Sealer("edge/certificates"), Now: time.Now,
		Hosts: func() []string { return hosts }}
}

func build(t *testing.T, cfg Config, d Deps) *gate {
	t.Helper()
	g := &gate{t: t, meter: &meter{rows: map[string]float64{}}, health: &health{last: map[string]error{}}, log: new(syncBuffer)}
	d.Meter, d.Health = g.meter, g.health
	d.Log = slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e, err := New(cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	g.Edge = e
	return g
}

func (g *gate) run() *gate {
	g.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel, g.done = cancel, make(chan error, 1)
	go func() { g.done <- g.Run(ctx) }()
	g.t.Cleanup(func() {
		cancel()
		select {
		case <-g.done:
		case <-time.After(30 * time.Second):
			g.t.Error("Run does not return")
		}
		if g.t.Failed() {
			g.t.Log(g.log.String())
		}
	})
	select {
	case <-g.Ready():
	case err := <-g.done:
		g.done <- err
		g.t.Fatalf("Run: %v", err)
	case <-time.After(30 * time.Second):
		g.t.Fatal("not ready")
	}
	return g
}

// start runs an Edge until the test ends.
func start(t *testing.T, cfg Config, d Deps) *gate {
	t.Helper()
	return build(t, cfg, d).run()
}

func (g *gate) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(g.RootPEM()) {
		g.t.Fatal("no root")
	}
	return pool
}

// client is an HTTP client that finds every host at the gate.
func (g *gate) client(h2 bool) *http.Client {
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: g.roots()}, Protocols: new(http.Protocols),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", g.Addrs().HTTPS.String())
		},
	}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetHTTP2(h2)
	g.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// dial opens a TLS connection for raw HTTP/1.1.
func (g *gate) dial(host string) *tls.Conn {
	g.t.Helper()
	c, err := tls.Dial("tcp", g.Addrs().HTTPS.String(), &tls.Config{RootCAs: g.roots(), ServerName: host})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second)) // against hanging only
	return c
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 2000 {
		if holds() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("it never came that %s", what)
}

func TestHTTPSServesBothProtocols(t *testing.T) {
	g := start(t, local(t), deps("crm.test", "127.0.0.1"))
	for h2, want := range map[bool]string{false: "hello HTTP/1.1", true: "hello HTTP/2.0"} {
		resp, err := g.client(h2).Get("https://crm.test/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != want {
			t.Errorf("%q, want %q", body, want)
		}
	}
	if g.meter.get("sallyport_certificate_expiry_timestamp_seconds crm.test") < float64(time.Now().Unix()) {
		t.Error("no gauge tells when the certificate ends")
	}
	if err := g.health.of("edge"); err != nil {
		t.Errorf("edge: %v", err)
	}
	if err := g.health.of("certificates"); err != nil {
		t.Errorf("certificates: %v", err)
	}
	if first := g.health.all[0]; first != "edge fatal=true: starting" {
		t.Errorf("the first report is %q, want starting", first)
	}
}

func TestListenTellsPortsBeforeRun(t *testing.T) {
	cfg := local(t)
	cfg.HTTP, cfg.Ops = Off, Off
	g := build(t, cfg, deps("crm.test"))
	if g.Addrs() != (Addrs{}) {
		t.Error("addresses before Listen")
	}
	if err := g.Listen(); err != nil {
		t.Fatal(err)
	}
	before := g.Addrs()
	if before.HTTPS.Port() == 0 || before.HTTP.IsValid() || before.Ops.IsValid() {
		t.Errorf("%+v", before)
	}
	if g.run(); g.Addrs() != before {
		t.Error("Run listens elsewhere")
	}
}

func TestRunFailsWhenAPortIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := local(t)
	cfg.Ops = taken.Addr().String()
	g := build(t, cfg, deps("crm.test"))
	if err := g.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "edge.ops") {
		t.Errorf("Run = %v, want an error that names edge.ops", err)
	}
	if g.health.of("edge") == nil {
		t.Error("health does not tell")
	}
}

func TestOpsListenerServesOps(t *testing.T) {
	d := deps("crm.test")
	d.Ops = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ops") })
	g := start(t, local(t), d)
	resp, err := http.Get("http://" + g.Addrs().Ops.String() + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); string(b) != "ops" {
		t.Errorf("%q", b)
	}
}

func TestNewRefusesWhatItCannotUse(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no source of certificates": func(c *Config) { c.TLS.LocalCA = false },
		"two sources":               func(c *Config) { c.TLS.ACME.Email = "ops@example.com" },
		"a certificate file that is missing": func(c *Config) {
			c.TLS.LocalCA = false
			c.TLS.Certificates = []Certificate{{"/nowhere/c", "/nowhere/k"}}
		},
		"a storage that cannot be written": func(c *Config) { c.TLS.Storage = "/dev/null/x" },
		"a root file that is missing": func(c *Config) {
			c.TLS.LocalCA, c.TLS.ACME = false, ACME{Email: "ops@example.com", CARoot: "/nowhere"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, d := local(t), deps("crm.test")
			change(&cfg)
			d.Meter, d.Health, d.Log = observe.Discard{}, observe.Discard{}, slog.New(slog.DiscardHandler)
			if _, err := New(cfg, d); err == nil {
				t.Error("New succeeded")
			}
		})
	}
}
