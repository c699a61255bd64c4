package edge

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/sallyport/sallyport/observe"
)

// certificates holds the certificates of the hosts, whatever their source, in
// certmagic's cache, and keeps them fresh.
type certificates struct {
	source  string
	log     *slog.Logger
	health  observe.Health
	expiry  observe.Gauge
	now     func() time.Time
	retries []time.Duration

	cache *certmagic.Cache
	magic *certmagic.Config
	acme  *certmagic.ACMEIssuer // nil unless the source is acme

	pollPeriod   time.Duration
	filesChanged chan struct{}
	watching     chan struct{} // closed when the files are watched; for tests, may be nil

	ctx    context.Context // of the keepers
	cancel context.CancelFunc
	wg     sync.WaitGroup // the keepers
	first  sync.WaitGroup // their first attempts

	cacheMu sync.Mutex // one change of the cached pairs at a time
	cached  map[string]bool

	mu       sync.Mutex
	hosts    *hostSet
	keepers  map[string]context.CancelFunc // by host, of acme and local_ca
	pairs    []*pair
	failures map[string]error // by host or file
}

// retryDelays are the pauses between attempts to get a certificate. Let's Encrypt
// allows five failures an hour and name.
func retryDelays() []time.Duration {
	return []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour}
}

// start makes the cache, which begins to work at once, and the issuer.
func (m *certificates) start(ctx context.Context, t TLS, storage certmagic.Storage, ca *localCA, roots *x509.CertPool, challenge challengePorts) {
	m.ctx, m.cancel = context.WithCancel(ctx)
	m.keepers, m.failures = map[string]context.CancelFunc{}, map[string]error{}
	zlog := zapToSlog(m.log)
	m.cache = certmagic.NewCache(certmagic.CacheOptions{Logger: zlog,
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return m.magic, nil }})
	m.magic = certmagic.New(m.cache, certmagic.Config{
		Storage: storage, Logger: zlog, OnEvent: m.onEvent,
		OCSP: certmagic.OCSPConfig{
			// Own files are taken over at once, without a call to a third party.
			DisableStapling: m.source == "certificates",
			// Without this certmagic would use http.DefaultClient, which never times out.
			HTTPProxy: func(r *http.Request) (*url.URL, error) { return http.ProxyFromEnvironment(r) },
		},
	})
	switch m.source {
	case "acme":
		m.acme = certmagic.NewACMEIssuer(m.magic, certmagic.ACMEIssuer{
			CA: t.ACME.Directory, Email: t.ACME.Email, Agreed: true, TrustedRoots: roots, Logger: zlog,
			ListenHost: challenge.host, AltHTTPPort: challenge.http, AltTLSALPNPort: challenge.https,
			DisableHTTPChallenge: challenge.http == 0,
		})
		m.magic.Issuers = []certmagic.Issuer{m.acme}
	case "local_ca":
		m.magic.Issuers = []certmagic.Issuer{ca}
	}
}

// challengePorts are where an authority's challenges arrive. certmagic opens these
// ports itself when nobody listens; since we do, it leaves the answer to us.
type challengePorts struct {
	host        string
	http, https int
}

// follow makes the hosts those that certificates are kept for.
func (m *certificates) follow(hosts *hostSet) {
	m.mu.Lock()
	m.hosts, hosts = hosts, m.hosts
	if m.source != "certificates" {
		for host := range m.hosts.names {
			if m.keepers[host] == nil {
				ctx, cancel := context.WithCancel(m.ctx)
				m.keepers[host] = cancel
				m.first.Add(1)
				m.wg.Go(func() { m.keep(ctx, host) })
			}
		}
	}
	var gone []certmagic.SubjectIssuer
	if hosts != nil {
		for host := range hosts.names {
			if m.hosts.has(host) {
				continue
			}
			if cancel := m.keepers[host]; cancel != nil {
				cancel()
				delete(m.keepers, host)
			}
			delete(m.failures, host)
			gone = append(gone, certmagic.SubjectIssuer{Subject: host})
			m.expiry.Set(math.NaN(), host)
		}
	}
	m.mu.Unlock()
	m.cache.RemoveManaged(gone)
	m.report()
}

// keep gets the first certificate of a host, from the storage or its issuer; certmagic
// renews it from then on.
func (m *certificates) keep(ctx context.Context, host string) {
	for attempt := 0; ; attempt++ {
		err := m.get(ctx, host)
		if attempt == 0 {
			m.first.Done()
		}
		if ctx.Err() != nil {
			m.forget(host) // it may have come while the host went
			return
		}
		m.failed(host, err)
		m.report()
		if err == nil {
			return
		}
		wait := m.retries[min(attempt, len(m.retries)-1)]
		m.log.Error("no certificate for a host", "host", host, "next_attempt_in", wait, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// get brings a host's certificate into the cache: from the storage, or from the issuer
// when there is none or it ends soon. certmagic's Async calls do wait, and try again for
// a month; the Sync ones would ask on standard input whether the authority's terms are
// accepted, which the configuration has said.
func (m *certificates) get(ctx context.Context, host string) error {
	obtain, renew := m.magic.ObtainCertAsync, m.magic.RenewCertAsync
	if m.acme == nil {
		obtain, renew = m.magic.ObtainCertSync, m.magic.RenewCertSync
	}
	stored, err := m.magic.CacheManagedCertificate(ctx, host)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := obtain(ctx, host); err != nil {
			return fmt.Errorf("obtain certificate: %w", err)
		}
	case err != nil:
		return fmt.Errorf("load certificate: %w", err)
	case !stored.NeedsRenewal(m.magic):
		return nil
	default:
		m.report() // the old one serves meanwhile
		if err := renew(ctx, host, false); err != nil {
			return fmt.Errorf("renew certificate: %w", err)
		}
	}
	fresh, err := m.magic.CacheManagedCertificate(ctx, host)
	if err != nil {
		return fmt.Errorf("load certificate: %w", err)
	}
	if !stored.Empty() && stored.Hash() != fresh.Hash() {
		m.cache.Remove([]string{stored.Hash()})
	}
	return nil
}

// forget takes a host's certificate out of the cache, unless the host is wanted again.
func (m *certificates) forget(host string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.hosts.has(host) {
		m.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: host}})
	}
}

// onEvent hears from certmagic how renewals go.
func (m *certificates) onEvent(_ context.Context, event string, data map[string]any) error {
	host, _ := data["identifier"].(string)
	switch event {
	case "cert_failed":
		err, ok := data["error"].(error)
		if !ok {
			err = errors.New("certificate could not be had")
		}
		m.failed(host, err)
		m.report()
	case "cert_obtained":
		m.failed(host, nil)
	}
	return nil // nothing is vetoed
}

func (m *certificates) failed(host string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil && m.hosts.has(host) {
		m.failures[host] = err
	} else {
		delete(m.failures, host)
	}
}

// tend shows the state of the certificates each minute until ctx ends.
func (m *certificates) tend(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.report()
		}
	}
}

// report shows when certificates end and what is wrong. A missing certificate does not
// make the instance unready: a load balancer that takes it out would keep the
// authority's challenge from it, for ever.
func (m *certificates) report() {
	m.mu.Lock()
	defer m.mu.Unlock()
	var wrong []error
	for _, host := range m.hosts.list() {
		end := m.ends(host)
		switch {
		case end.IsZero():
			m.expiry.Set(0, host)
			wrong = append(wrong, fmt.Errorf("%s has no certificate", host))
			continue
		case m.now().After(end):
			wrong = append(wrong, fmt.Errorf("the certificate of %s has expired", host))
		}
		m.expiry.Set(float64(end.Unix()), host)
	}
	for _, name := range slices.Sorted(maps.Keys(m.failures)) {
		wrong = append(wrong, fmt.Errorf("%s: %w", name, m.failures[name]))
	}
	m.health.Report("certificates", false, errors.Join(wrong...))
}

// ends is when the last certificate of a host ends; zero when it has none.
func (m *certificates) ends(host string) (end time.Time) {
	for _, c := range m.cache.AllMatchingCertificates(host) {
		if c.Leaf != nil && c.Leaf.NotAfter.After(end) {
			end = c.Leaf.NotAfter
		}
	}
	return end
}

// stop ends everything that start and follow began.
func (m *certificates) stop() {
	m.cancel()
	m.wg.Wait()
	m.cache.Stop()
}
