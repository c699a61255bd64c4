package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

const (
	copyBuffer         = 32 << 10 // bytes
	maxResponseHeader  = 256 << 10
	idleUpstream       = 90 * time.Second
	upstreamPing       = 30 * time.Second // to an HTTP/2 backend that is silent
	upstreamPingAnswer = 15 * time.Second
)

// backends is the applications of one plan.
type backends struct {
	bySite    map[*access.Site]*siteBackend
	streams   *Streams
	log       *slog.Logger
	errors    observe.Counter
	buffers   *bufferPool
	proxy     httputil.ReverseProxy // each passage completes a copy
	hardening hardening             // of answers before a site is known
}

// siteBackend is one site's application: where it is, how to speak to it, what it may say.
type siteBackend struct {
	site      *site
	pool      *pool                     // nil with an upstream per tenant
	byTenant  map[access.TenantID]*pool // nil with upstreams for all
	transport roundTripper
	prober    *prober // nil without a health path
	protect   map[string]bool
	own       map[string]bool // folded names that the backend must not answer with
	names     headerNames
	trailers  []string // canonical
	cookies   *backendCookies
	auth      *upstreamAuth // nil without
	origins   []origin
	asserter  Asserter
	hardening hardening
}

// roundTripper is what a backend needs of http.Transport.
type roundTripper interface {
	http.RoundTripper
	CloseIdleConnections()
}

// newBackends builds what leads to the applications. It fetches certificates and secrets but
// connects to nothing. The error names every site that is wrong, and never a secret.
func newBackends(s *sites, r Rooms) (*backends, error) {
	b := &backends{bySite: map[*access.Site]*siteBackend{}, streams: r.Streams, log: r.Log, buffers: new(bufferPool), hardening: ResponseConfig{}.hardening(),
		errors: r.Meter.Counter("sallyport_upstream_errors_total", "Requests that the application did not answer, or not to the end, by cause.", "site", "cause")}
	// What it would log is noted with the request's id (answerBody), or is a client's leaving.
	b.proxy.BufferPool, b.proxy.ErrorLog = b.buffers, slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	var all error
	for i, one := range s.list {
		at, err := newSiteBackend(fmt.Sprintf("sites[%d]", i), one, r)
		if err != nil {
			all = errors.Join(all, err)
			continue
		}
		b.bySite[&one.Site] = at
	}
	if all != nil {
		b.close()
		return nil, all
	}
	return b, nil
}

func newSiteBackend(path string, s *site, r Rooms) (*siteBackend, error) {
	cfg := s.cfg.Upstream.withDefaults()
	b := &siteBackend{site: s, protect: protectedHeaders(s.cfg), own: ownHeaders(s.cfg), names: namesOf(s.cfg), asserter: r.Asserter,
		hardening: s.cfg.Response.hardening()}
	for _, name := range s.cfg.Trailers {
		if !b.protect[access.FoldName(name)] && !universallyProtected(access.FoldName(name)) && !decisive(access.FoldName(name)) {
			b.trailers = append(b.trailers, http.CanonicalHeaderKey(name))
		}
	}
	var err error
	if b.auth, err = newUpstreamAuth(path+".upstream_auth", s, r.Jar); err != nil {
		return nil, err
	}
	b.cookies = newBackendCookies(s, b.auth, r)
	transport, err := newTransport(path+".upstream", cfg)
	if err != nil {
		return nil, err
	}
	b.transport = transport
	if cfg.HealthPath != "" {
		b.prober = newProber(cfg.HealthPath, b.transport)
	}
	if len(s.cfg.Tenant.Upstreams) == 0 {
		if b.pool, err = newPool(s.cfg.Upstreams, cfg, b.prober); err != nil {
			return nil, fmt.Errorf("%s.upstreams: %w", path, err)
		}
		b.origins = appendOrigins(b.origins, b.pool)
		return b, nil
	}
	b.byTenant = map[access.TenantID]*pool{}
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Tenant.Upstreams)) {
		tenant, err := access.ParseTenantID(name)
		if err != nil {
			return nil, fmt.Errorf("%s.tenant.upstreams.%s: %w", path, name, err)
		}
		if b.byTenant[tenant], err = newPool(s.cfg.Tenant.Upstreams[name], cfg, b.prober); err != nil {
			return nil, fmt.Errorf("%s.tenant.upstreams.%s: %w", path, name, err)
		}
		b.origins = appendOrigins(b.origins, b.byTenant[tenant])
	}
	return b, nil
}

// newTransport speaks to one site's backends. Proxies of the environment are ignored, TLS is
// verified, and nothing is compressed or inflated on the way.
func newTransport(path string, cfg UpstreamConfig) (*http.Transport, error) {
	secure := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cfg.ServerName, ClientSessionCache: tls.NewLRUClientSessionCache(64)}
	if cfg.CA != "" {
		pem, err := os.ReadFile(cfg.CA)
		if err != nil {
			return nil, fmt.Errorf("%s.ca: %w", path, err)
		}
		if secure.RootCAs, err = x509.SystemCertPool(); err != nil {
			secure.RootCAs = x509.NewCertPool() // a machine without roots still has this file's
		}
		if !secure.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s.ca: no certificate in %s", path, cfg.CA)
		}
	}
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: cfg.Dial.Duration(), KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        secure,
		TLSHandshakeTimeout:    cfg.Dial.Duration(),
		ForceAttemptHTTP2:      true, // where the backend offers it
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: upstreamPing, PingTimeout: upstreamPingAnswer},
		DisableCompression:     true,
		MaxIdleConnsPerHost:    cfg.MaxConns,
		IdleConnTimeout:        idleUpstream,
		ResponseHeaderTimeout:  cfg.Header.Duration(),
		MaxResponseHeaderBytes: maxResponseHeader,
	}, nil
}

// close lets go of idle connections. Requests in flight finish on theirs.
func (b *backends) close() {
	for _, at := range b.bySite {
		if at.prober != nil {
			at.prober.close()
		}
		at.transport.CloseIdleConnections()
	}
}

// poolOf finds the addresses for a request. A tenant without an upstream of its own is
// refused: there is no default that could be another tenant's.
func (b *siteBackend) poolOf(ex *access.Exchange) (*pool, error) {
	if b.byTenant == nil {
		return b.pool, nil
	}
	tenant := ex.Tenant()
	if found := b.byTenant[tenant]; found != nil && !tenant.IsZero() && ex.Route.Class == access.App {
		return found, nil
	}
	return nil, access.Refuse(http.StatusForbidden, "tenant_has_no_upstream", "Your organisation does not use this application.",
		"Ask your administrator.").Because(fmt.Errorf("no upstream for tenant %q", tenant))
}

// bufferPool lends buffers for copying.
type bufferPool struct{ pool sync.Pool }

var _ httputil.BufferPool = (*bufferPool)(nil)

// Get implements httputil.BufferPool.
func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[copyBuffer]byte); ok {
		return b[:]
	}
	return new([copyBuffer]byte)[:]
}

// Put implements httputil.BufferPool.
func (p *bufferPool) Put(b []byte) {
	if cap(b) >= copyBuffer {
		p.pool.Put((*[copyBuffer]byte)(b[:copyBuffer]))
	}
}
