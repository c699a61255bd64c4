package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// firstRest is how long an address rests after a failure to connect; it doubles with each
	// further one, up to longestRest.
	firstRest    = time.Second
	longestRest  = 30 * time.Second
	probeEvery   = 10 * time.Second
	probeTimeout = 5 * time.Second
)

// target is one address of an application.
type target struct {
	url      *url.URL
	inFlight atomic.Int64
	fails    atomic.Int64 // to connect, in a row
	rests    atomic.Int64 // until then, in Unix nanoseconds
	sick     atomic.Bool  // by the last probe
	probed   atomic.Int64 // when the last probe began, in Unix nanoseconds
}

func (t *target) failed(now time.Time) {
	n := min(t.fails.Add(1), 6)
	t.rests.Store(now.Add(min(firstRest<<(n-1), longestRest)).UnixNano())
}

func (t *target) worked() {
	if t.fails.Load() != 0 {
		t.fails.Store(0)
		t.rests.Store(0)
	}
}

// pool is the addresses among which one application's requests are balanced.
type pool struct {
	targets  []*target
	most     int64 // in flight at one address
	turn     atomic.Uint64
	prober   *prober // nil without a health path
	maxTries int
}

func newPool(addresses []string, cfg UpstreamConfig, probes *prober) (*pool, error) {
	p := &pool{most: int64(cfg.MaxConns), prober: probes, maxTries: len(addresses)}
	for _, text := range addresses {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("upstream %q: want scheme, host and port", text)
		}
		p.targets = append(p.targets, &target{url: u})
	}
	if len(p.targets) == 0 {
		return nil, errors.New("no upstream")
	}
	return p, nil
}

// pick takes the address with the least in flight among those that are well and not yet
// tried. When none is well the sick are tried, since a stale verdict must not be an outage.
// Nil means that all are tried or full. The caller gives it back with one Add(-1) on inFlight.
func (p *pool) pick(now time.Time, tried []*target) *target {
	start := int(p.turn.Add(1) % uint64(len(p.targets)))
	var best *target
	bestWell, bestLoad := false, int64(0)
	for i := range p.targets {
		t := p.targets[(start+i)%len(p.targets)]
		if p.prober != nil {
			p.prober.consider(t, now)
		}
		load := t.inFlight.Load()
		if contains(tried, t) || load >= p.most {
			continue
		}
		well := !t.sick.Load() && t.rests.Load() <= now.UnixNano()
		if best == nil || well && !bestWell || well == bestWell && load < bestLoad {
			best, bestWell, bestLoad = t, well, load
		}
	}
	if best != nil {
		best.inFlight.Add(1)
	}
	return best
}

func contains(list []*target, t *target) bool {
	for _, other := range list {
		if other == t {
			return true
		}
	}
	return false
}

// prober asks addresses for their health, one probe at a time for each. It works only while
// there are requests: pick starts a probe when the last is old. So there is nothing to run.
type prober struct {
	path   string
	round  http.RoundTripper
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex // between Add and Wait
	closed bool
}

func newProber(path string, round http.RoundTripper) *prober {
	p := &prober{path: path, round: round}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

func (p *prober) consider(t *target, now time.Time) {
	last := t.probed.Load()
	if now.UnixNano()-last < int64(probeEvery) || !t.probed.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.wg.Go(func() { t.sick.Store(p.probe(t) != nil) })
}

// probe is well with any status below 500: the address lives, whatever it thinks of us.
func (p *prober) probe(t *target) error {
	ctx, cancel := context.WithTimeout(p.ctx, probeTimeout)
	defer cancel()
	r := &http.Request{Method: http.MethodGet, Host: t.url.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL:    &url.URL{Scheme: t.url.Scheme, Host: t.url.Host, Opaque: p.path},
		Header: http.Header{"User-Agent": {"sallyport-health"}}}
	res, err := p.round.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode >= 500 {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

func (p *prober) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.wg.Wait()
}
