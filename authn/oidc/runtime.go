package oidc

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/outbound"
	"github.com/sallyport/sallyport/secret"
)

const (
	maxIssuers = 2 * MaxProviders // of an old and a new Set
	maxUsed    = 100_000          // attempts of ten minutes, some 10 MiB
	maxCA      = 1 << 20
)

// Options are what a Runtime depends on.
type Options struct {
	// Sealer seals login attempts; of a purpose of its own, such as "authn/oidc". Required.
	Sealer Sealer
	// Once remembers used attempts; nil means in memory, which is right for one instance.
	Once  Once
	Now   func() time.Time // nil means time.Now
	Meter observe.Meter    // nil means none
	Log   *slog.Logger     // nil means none
}

// Runtime is what lives as long as the process: caches, and the memory of used attempts.
// It is safe for concurrent use and starts nothing.
type Runtime struct {
	sealer  Sealer
	once    Once
	now     func() time.Time
	log     *slog.Logger
	fetches observe.Counter
	logins  observe.Counter

	mu      sync.Mutex
	issuers map[string]*issuer
}

// NewRuntime makes a Runtime.
func NewRuntime(o Options) (*Runtime, error) {
	if o.Sealer == nil {
		return nil, errors.New("oidc: no sealer for login attempts")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Once == nil {
		o.Once = NewMemoryOnce(maxUsed, o.Now)
	}
	if o.Meter == nil {
		o.Meter = observe.Discard{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Runtime{
		sealer: o.Sealer, once: o.Once, now: o.Now, log: o.Log, issuers: map[string]*issuer{},
		fetches: o.Meter.Counter("sallyport_oidc_fetches_total", "Discovery documents and key sets fetched from identity providers.", "what", "result"),
		logins:  o.Meter.Counter("sallyport_oidc_logins_total", "Logins through OpenID Connect that came back from the provider.", "provider", "result"),
	}, nil
}

// Domains tells whose an e-mail domain is.
type Domains interface {
	ByDomain(domain string) (access.TenantID, bool)
}

// Build makes the Set of a configuration: it reads secrets and certificate files and
// asks no provider. It changes nothing that another Set uses. All errors are given at once.
func (rt *Runtime) Build(c Config, domains Domains) (*Set, error) {
	var errs []error
	c.Check(func(path, what, _ string) { errs = append(errs, fmt.Errorf("authn.oidc%s: %s", path, what)) }, func(string, string, string) {})
	if domains == nil {
		errs = append(errs, errors.New("oidc: no directory of e-mail domains"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	set := &Set{runtime: rt, domains: domains, byName: map[string]*provider{}}
	for i, s := range c.WithDefaults() {
		p, err := rt.provider(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("authn.oidc[%d] (%s): %w", i, s.Name, err))
			continue
		}
		set.byName[s.Name] = p
		set.providers = append(set.providers, p)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return set, nil
}

func (rt *Runtime) provider(s Settings) (*provider, error) {
	p := &provider{Settings: s}
	var err error
	if p.tenant, err = access.ParseTenantID(s.Tenant); err != nil {
		return nil, err
	}
	if !s.ClientSecret.IsZero() {
		if p.secret, err = s.ClientSecret.Resolve(); err != nil {
			return nil, fmt.Errorf("client_secret: %w", err)
		}
	}
	var ca []byte
	if s.CA != "" {
		if ca, err = readBounded(s.CA); err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
	}
	if p.issuer, err = rt.issuer(s, ca); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{s.Name, s.Tenant, s.Issuer, s.ClientID}, "\x00")))
	p.fingerprint = fmt.Sprintf("%x", sum[:8])
	p.callback = "oidc/callback"
	if s.OwnCallback {
		p.callback += "/" + s.Name
	}
	return p, nil
}

// issuer gives the shared state of an issuer under these network settings.
func (rt *Runtime) issuer(s Settings, ca []byte) (*issuer, error) {
	o := outbound.Options{Allow: s.Allow, Redirects: 2}
	if ca != nil {
		roots, err := outbound.Roots(ca)
		if err != nil {
			return nil, err
		}
		o.Roots = roots
	}
	key := fmt.Sprintf("%s\x00%x\x00%v", s.Issuer, sha256.Sum256(ca), s.Allow)
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if known, ok := rt.issuers[key]; ok {
		return known, nil
	}
	if len(rt.issuers) >= maxIssuers {
		clear(rt.issuers) // the Sets in use keep theirs; only the sharing with later ones is lost
	}
	count := func(what string, err error) {
		result := "ok"
		if err != nil {
			result = "failed"
		}
		rt.fetches.Add(1, what, result)
	}
	made := newIssuer(s.Issuer, outbound.New(o), rt.now, rt.log, count)
	rt.issuers[key] = made
	return made, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCA+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxCA {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxCA)
	}
	return b, nil
}

// provider is one configured provider. It is immutable.
type provider struct {
	Settings
	tenant      access.TenantID
	secret      secret.String
	issuer      *issuer
	fingerprint string
	callback    string // the endpoint's path below the prefix
}

func (p *provider) serves(site string) bool {
	return len(p.Sites) == 0 || slices.Contains(p.Sites, site)
}
