package edge

import (
	"context"
	"fmt"
)

// Change is a new configuration that has been built aside and found usable.
type Change struct {
	// Restart names the keys that differ from what runs and wait for a restart.
	Restart []string

	edge  *Edge
	cfg   Config
	hosts *hostSet
	pairs []*pair
}

// Prepare builds what a new configuration changes, and touches nothing: certificate
// files are read, and one that cannot be used is an error. The hosts are those of the
// new Plan.
func (e *Edge) Prepare(cfg Config, hosts []string) (*Change, error) {
	cfg = cfg.WithDefaults()
	c := &Change{Restart: NeedsRestart(e.started, cfg), edge: e, cfg: cfg, hosts: newHostSet(hosts)}
	if e.certs.source != "certificates" || cfg.TLS.Source() != "certificates" {
		return c, nil
	}
	pairs, err := readPairs(cfg.TLS.Certificates)
	if err != nil {
		return nil, fmt.Errorf("edge.tls.certificates: %w", err)
	}
	c.pairs = pairs
	return c, nil
}

// Commit makes it so. Connections that are open stay; new ones are counted by the new
// limits, and hosts that are gone get no handshake any more.
func (c *Change) Commit() {
	e := c.edge
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current.Store(&c.cfg)
	e.room.limits.Store(&limits{c.cfg.Connections, c.cfg.TrustedProxies})
	e.hosts.Store(c.hosts)
	m := e.certs
	if m.magic == nil { // Run has not begun
		if c.pairs != nil {
			m.pairs = c.pairs
		}
		return
	}
	if c.pairs != nil {
		m.replacePairs(context.Background(), func([]*pair) []*pair { return c.pairs })
		m.forgetFiles()
		select {
		case m.filesChanged <- struct{}{}:
		default: // the watcher has been told already
		}
	}
	m.follow(c.hosts)
}

// forgetFiles drops what was wrong with files: a reload has just read all of them.
func (m *certificates) forgetFiles() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.failures) // with files there are no other failures
}
