package edge

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	maxPEM     = 1 << 20
	debounce   = 100 * time.Millisecond // a writer that touches two files is given time for both
	pollPeriod = 30 * time.Second       // network file systems and some mounts send no events
)

// pair is one certificate of the configuration as it was last read well.
type pair struct {
	Certificate
	cert    tls.Certificate
	content [sha256.Size]byte // of both files
}

// readPair reads and checks a certificate and its key.
func readPair(c Certificate) (*pair, error) {
	cert, err := readPEM(c.Cert)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := readPEM(c.Key)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	parsed, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", c.Cert, c.Key, err)
	}
	return &pair{Certificate: c, cert: parsed, content: sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(cert), cert, key))}, nil
}

func readPEM(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(b) > maxPEM {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxPEM)
	}
	return b, err
}

// readPairs reads all certificates of the configuration; the error names every one that
// cannot be used.
func readPairs(list []Certificate) ([]*pair, error) {
	var pairs []*pair
	var broken []error
	for _, c := range list {
		p, err := readPair(c)
		if err != nil {
			broken = append(broken, err)
			continue
		}
		pairs = append(pairs, p)
	}
	return pairs, errors.Join(broken...)
}

// watchFiles takes over changed certificate files until ctx ends. The folders are
// watched, not only the files: a rename, a swapped symlink (Kubernetes secrets, certbot)
// and a write in place all count, and what no event tells is found by looking.
func (m *certificates) watchFiles(ctx context.Context) {
	var events chan fsnotify.Event
	var failures chan error
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		m.log.Warn("certificate files cannot be watched, only looked at", "every", pollPeriod, "error", err)
	} else {
		defer watcher.Close()
		events, failures = watcher.Events, watcher.Errors
	}
	poll := time.NewTicker(m.pollPeriod)
	defer poll.Stop()
	var due <-chan time.Time
	m.watch(watcher)
	m.refreshFiles(ctx) // what changed since it was read
	if m.watching != nil {
		close(m.watching)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			if due == nil {
				due = time.After(debounce)
			}
			continue
		case err := <-failures: // an overflow: look for ourselves
			m.log.Warn("watching certificate files", "error", err)
		case <-due:
		case <-poll.C:
		case <-m.filesChanged: // a reload changed the list
		}
		due = nil
		m.watch(watcher)
		m.refreshFiles(ctx)
	}
}

// watch makes the watcher follow where the files are now.
func (m *certificates) watch(w *fsnotify.Watcher) {
	if w == nil {
		return
	}
	want := map[string]bool{}
	m.mu.Lock()
	for _, p := range m.pairs {
		for _, path := range []string{p.Cert, p.Key} {
			want[filepath.Dir(path)] = true
			if real, err := filepath.EvalSymlinks(path); err == nil {
				want[filepath.Dir(real)] = true
				want[real] = true // a file that is mounted alone changes without its folder
			}
		}
	}
	m.mu.Unlock()
	for _, watched := range w.WatchList() {
		if !want[watched] {
			_ = w.Remove(watched) // it may be gone already
		}
	}
	for path := range want {
		// Adding again is harmless, and needed: a file of the same name may be another.
		if err := w.Add(path); err != nil {
			m.log.Debug("cannot watch, so it is only looked at", "path", path, "error", err)
		}
	}
}

// refreshFiles takes over each pair that has changed. A broken new one keeps the old
// one and says so, in the log and in /readyz.
func (m *certificates) refreshFiles(ctx context.Context) {
	m.mu.Lock()
	old := slices.Clone(m.pairs)
	m.mu.Unlock()
	for _, p := range old {
		next, err := readPair(p.Certificate)
		if err == nil && next.content == p.content {
			m.fileState(p.Cert, nil)
			continue
		}
		if err == nil && m.now().After(next.cert.Leaf.NotAfter) {
			err = fmt.Errorf("certificate %s has expired on %s", p.Cert, next.cert.Leaf.NotAfter.UTC().Format(time.DateOnly))
		}
		if err != nil {
			if m.fileState(p.Cert, err) {
				m.log.Error("the changed certificate file is not usable, the old one stays in use", "file", p.Cert, "error", err)
			}
			continue
		}
		m.fileState(p.Cert, nil)
		m.replacePairs(ctx, func(pairs []*pair) []*pair {
			if i := slices.Index(pairs, p); i >= 0 { // a reload may have taken it away
				pairs[i] = next
			}
			return pairs
		})
		m.log.Info("took over a changed certificate", "file", p.Cert, "names", next.cert.Leaf.DNSNames, "until", next.cert.Leaf.NotAfter)
	}
	m.report()
}

// fileState remembers what is wrong with a file and says whether that is news.
func (m *certificates) fileState(file string, err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		delete(m.failures, file)
		return false
	}
	before := m.failures[file]
	m.failures[file] = err
	return before == nil || before.Error() != err.Error()
}

// replacePairs changes the list of pairs and brings certmagic's cache in line: what is
// new comes in before what is gone goes out, so no handshake finds nothing.
func (m *certificates) replacePairs(ctx context.Context, change func([]*pair) []*pair) {
	m.cacheMu.Lock()
	defer m.cacheMu.Unlock()
	m.mu.Lock()
	m.pairs = change(slices.Clone(m.pairs))
	pairs := m.pairs
	m.mu.Unlock()
	cached := map[string]bool{}
	for _, p := range pairs {
		hash, err := m.magic.CacheUnmanagedTLSCertificate(ctx, p.cert, nil)
		if err != nil { // it parsed before, so only an empty one could
			m.log.Error("certificate cannot be served", "file", p.Cert, "error", err)
			continue
		}
		cached[hash] = true
	}
	for hash := range m.cached {
		if !cached[hash] {
			m.cache.Remove([]string{hash})
		}
	}
	m.cached = cached
}
