package edge

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/observe"
)

// Deps is what an Edge needs from the house.
type Deps struct {
	// Handler answers every request that came by TLS. It sees r.RemoteAddr and r.TLS as
	// the socket has them.
	Handler http.Handler
	// Ops answers on the ops listener.
	Ops http.Handler
	// Sealer seals what certmagic stores; its purpose is "edge/certificates".
	Sealer Sealer
	Meter  observe.Meter
	Health observe.Health
	Log    *slog.Logger
	// Hosts are the names of all sites, asked for by New and Reload. The first one is
	// the default for clients that send no name.
	Hosts func() []string
	// Now is the clock for certificates.
	Now func() time.Time
}

// Edge is the listeners of the process.
type Edge struct {
	started Config // what needs a restart is taken from here
	deps    Deps
	current atomic.Pointer[Config] // what can change is taken from here
	hosts   atomic.Pointer[hostSet]
	certs   *certificates
	storage *sealedStorage
	ca      *localCA       // nil unless the source is local_ca
	roots   *x509.CertPool // nil unless acme.ca_root is set
	room    *connections   // of the public listeners
	opsRoom *connections
	work    *progress

	handshakes observe.Counter // refused ones, by reason
	redirects  observe.Counter // answers of port 80, by code

	mu         sync.Mutex
	bound      *bound
	ready      chan struct{}
	settleTime time.Duration // how long handlers may take to end once their connection is closed
}

// maxOps is how many connections the ops listener holds. It must work while the public
// ones are full, so it counts by itself.
const maxOps = 64

var errStarting = errors.New("starting")
var errDraining = errors.New("draining: the process is about to stop")

// New builds an Edge and starts nothing. It reads certificate files, or opens or makes
// the local authority; what cannot be used is an error.
func New(cfg Config, deps Deps) (*Edge, error) {
	cfg = cfg.WithDefaults()
	e := &Edge{started: cfg, deps: deps, ready: make(chan struct{}), settleTime: 5 * time.Second}
	e.storage = newSealedStorage(cfg.TLS.Storage, deps.Sealer)
	m := deps.Meter
	refused := m.Counter("sallyport_edge_connections_refused_total", "Connections that were closed at once because there were too many.", "reason")
	e.handshakes = m.Counter("sallyport_edge_handshakes_refused_total", "TLS handshakes that were refused for their server name.", "reason")
	e.redirects = m.Counter("sallyport_edge_plain_requests_total", "Requests over plain HTTP.", "code")
	slow := m.Counter("sallyport_edge_slow_total", "Clients that were cut because they made no progress.", "side")
	e.room = &connections{from: map[netip.Addr]int{}, open: map[*conn]struct{}{}, refused: refused, slow: slow,
		stall: cfg.Timeouts.WriteStall.Duration(), gauge: m.Gauge("sallyport_edge_connections", "Open connections of the public listeners.")}
	e.opsRoom = &connections{from: map[netip.Addr]int{}, open: map[*conn]struct{}{}, refused: refused, slow: slow,
		stall: cfg.Timeouts.WriteStall.Duration(), gauge: m.Gauge("sallyport_edge_ops_connections", "Open connections of the ops listener.")}
	e.opsRoom.limits.Store(&limits{Connections{PerAddress: maxOps, Total: maxOps}, nil})
	e.work = &progress{next: deps.Handler, stall: cfg.Timeouts.BodyStall.Duration(), rate: int64(cfg.Timeouts.BodyRate),
		write: cfg.Timeouts.WriteStall.Duration(), slow: slow}
	e.certs = &certificates{source: cfg.TLS.Source(), log: deps.Log, health: deps.Health, now: deps.Now, retries: retryDelays(),
		pollPeriod: pollPeriod, filesChanged: make(chan struct{}, 1),
		expiry: m.Gauge("sallyport_certificate_expiry_timestamp_seconds", "When the certificate of a host ends, in Unix time; 0 while there is none.", "host")}
	e.current.Store(&cfg)
	e.hosts.Store(newHostSet(deps.Hosts()))
	e.room.limits.Store(&limits{cfg.Connections, cfg.TrustedProxies})
	return e, e.openSource()
}

// openSource opens where certificates come from.
func (e *Edge) openSource() (err error) {
	switch t := e.started.TLS; t.Source() {
	case "certificates":
		if e.certs.pairs, err = readPairs(t.Certificates); err != nil {
			return fmt.Errorf("edge.tls.certificates: %w", err)
		}
	case "local_ca":
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if e.ca, err = openLocalCA(ctx, e.storage, e.deps.Now); err != nil {
			return fmt.Errorf("edge.tls.local_ca: %w", err)
		}
	case "acme":
		if t.ACME.CARoot == "" {
			return nil
		}
		pem, err := os.ReadFile(t.ACME.CARoot)
		if err != nil {
			return fmt.Errorf("edge.tls.acme.ca_root: %w", err)
		}
		if e.roots = x509.NewCertPool(); !e.roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("edge.tls.acme.ca_root: no certificate in %s", t.ACME.CARoot)
		}
	default:
		return errors.New("edge.tls: want exactly one of acme, certificates and local_ca")
	}
	return nil
}

// RootPEM is the certificate of the local authority, for people to trust; nil when
// certificates come from elsewhere.
func (e *Edge) RootPEM() []byte {
	if e.ca == nil {
		return nil
	}
	return e.ca.pem
}

// Ready is closed when all listeners serve.
func (e *Edge) Ready() <-chan struct{} { return e.ready }

// Addrs is where an Edge listens. An address is invalid before Listen, or when its
// listener is off.
type Addrs struct{ HTTPS, HTTP, Ops netip.AddrPort }

// bound is the open sockets. HTTP and Ops are nil when they are off.
type bound struct {
	https, http, ops net.Listener
	addrs            Addrs
}

// Listen opens the sockets, so that their ports are known and connections queue up. It
// does nothing when they are open. Run calls it, and Run alone closes them.
func (e *Edge) Listen() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.bound != nil {
		return nil
	}
	b := new(bound)
	for _, l := range []struct {
		name, addr string
		into       *net.Listener
		at         *netip.AddrPort
	}{{"https", e.started.HTTPS, &b.https, &b.addrs.HTTPS}, {"http", e.started.HTTP, &b.http, &b.addrs.HTTP}, {"ops", e.started.Ops, &b.ops, &b.addrs.Ops}} {
		if l.addr == Off {
			continue
		}
		ln, err := net.Listen("tcp", l.addr)
		if err != nil {
			b.close()
			return fmt.Errorf("edge.%s: %w", l.name, err)
		}
		*l.into = ln
		at := ln.Addr().(*net.TCPAddr).AddrPort()
		*l.at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	e.bound = b
	return nil
}

func (b *bound) close() {
	for _, l := range []net.Listener{b.https, b.http, b.ops} {
		if l != nil {
			l.Close()
		}
	}
}

// Addrs gives the addresses of the open sockets.
func (e *Edge) Addrs() Addrs {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.bound == nil {
		return Addrs{}
	}
	return e.bound.addrs
}

// publicPort is the port of HTTPS as browsers reach it.
func (e *Edge) publicPort() int {
	if p := e.current.Load().PublicPort; p != 0 {
		return p
	}
	return int(e.Addrs().HTTPS.Port())
}
