package edge

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

// progress is the outermost handler. It cuts requests whose body makes no progress and,
// on HTTP/2, whose answer is not taken; and it counts those that run.
//
// It measures waiting, not time: only while a read waits for the client is the clock
// running, so a slow backend costs the client nothing, and what has no body (long
// polls, event streams, WebSockets, downloads) is never looked at. A handler that
// streams its answer must have read or closed the body first, as the corridor does: on
// HTTP/1 net/http reads what is left itself, and the deadline of that stands.
type progress struct {
	next    http.Handler
	stall   time.Duration // credit of a body
	rate    int64         // bytes a second that refill it
	write   time.Duration // longest single write to an HTTP/2 stream
	slow    observe.Counter
	running atomic.Int64
}

// ServeHTTP implements http.Handler.
func (p *progress) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.running.Add(1)
	defer p.running.Add(-1)
	var rc *http.ResponseController
	multiplexed := r.ProtoMajor >= 2
	if multiplexed {
		rc = http.NewResponseController(w)
		s := &stream{ResponseWriter: w, rc: rc, stall: p.write}
		s.dog.bite = func() { p.slow.Add(1, "answer"); _ = rc.SetWriteDeadline(past()) }
		defer s.leave()
		w = s
	}
	if r.Body != nil && r.Body != http.NoBody {
		if rc == nil {
			rc = http.NewResponseController(w)
		}
		b := &body{ReadCloser: r.Body, p: p, rc: rc, credit: p.stall}
		if multiplexed {
			b.dog = &watchdog{bite: func() { _ = rc.SetReadDeadline(past()) }}
		} else {
			// Holds until the first read of ours, and for net/http's own: it reads on when
			// a handler answers without having read the body.
			b.setDeadline(time.Now(), p.stall)
		}
		// A copy: net/http looks at the body of the original to decide whether the
		// connection can be used again.
		r = r.WithContext(r.Context())
		r.Body = b
		defer b.leave()
	}
	p.next.ServeHTTP(w, r)
}

func past() time.Time { return time.Unix(1, 0) }

// body is a request's body under watch. Time spent waiting for the client is taken from
// a credit, bytes that come give it back: so the longest wait is the stall, the average
// is at least the rate, and a fast start does not buy a long stop.
//
// A proxy's transport may still read and close it after the handler has returned. Then
// the connection may serve its next request already, so from leave on no deadline is
// touched.
type body struct {
	io.ReadCloser
	p      *progress
	rc     *http.ResponseController
	dog    *watchdog // HTTP/2; on HTTP/1 the connection's deadline does it
	credit time.Duration
	failed error

	mu       sync.Mutex
	deadline time.Time // of the connection, as we set it; zero is none
	left     bool
}

// Read implements io.Reader. When the client is too slow the error is an
// *access.Refusal with status 408, now and on every later read.
func (b *body) Read(buf []byte) (int, error) {
	if b.failed != nil {
		return 0, b.failed
	}
	start := time.Now()
	if b.dog != nil {
		b.dog.watch(b.credit)
	} else {
		b.setDeadline(start, b.credit)
	}
	n, err := b.ReadCloser.Read(buf)
	bitten := b.dog != nil && b.dog.rest()
	b.credit = refill(b.credit, b.p.stall, time.Since(start), n, b.p.rate)
	switch {
	case err == nil && b.credit > 0:
		return n, nil
	case err == nil, bitten && err != io.EOF, errors.Is(err, os.ErrDeadlineExceeded):
		b.p.slow.Add(1, "body")
		b.failed = access.Refuse(http.StatusRequestTimeout, "body_too_slow",
			"The request's body came too slowly.", "Send it again over a better connection.").Because(err)
		return n, b.failed
	}
	b.clearDeadline()
	b.failed = err
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.clearDeadline()
	return err
}

// setDeadline bounds the next read. While at least three quarters of the wait are left
// of the deadline that stands, it is left as it is, to save the call.
func (b *body) setDeadline(now time.Time, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if left := b.deadline.Sub(now); b.left || left >= wait*3/4 && left <= wait {
		return
	}
	b.deadline = now.Add(wait)
	_ = b.rc.SetReadDeadline(b.deadline) // every writer of net/http can
}

// clearDeadline is called when the body has ended. From then on net/http reads to learn
// when the client goes away, and takes a deadline for that.
func (b *body) clearDeadline() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left || b.deadline.IsZero() {
		return
	}
	b.deadline = time.Time{}
	_ = b.rc.SetReadDeadline(time.Time{})
}

func (b *body) leave() {
	b.mu.Lock()
	b.left = true
	b.mu.Unlock()
	if b.dog != nil {
		b.dog.leave()
	}
}

// refill is the credit after a read that waited and brought n bytes. It is at most
// full, and may be spent.
func refill(credit, full, waited time.Duration, n int, rate int64) time.Duration {
	credit -= waited
	if credit <= 0 && n == 0 {
		return 0
	}
	return min(full, credit+time.Duration(float64(n)/float64(rate)*float64(time.Second)))
}

// stream is the answer on an HTTP/2 stream. The connection's writes are bounded below
// TLS; here it is flow control by which a client can stop an answer (CVE-2019-9511,
// -9517).
type stream struct {
	http.ResponseWriter
	rc    *http.ResponseController
	stall time.Duration
	dog   watchdog
	wrote bool
}

// Unwrap serves http.ResponseController.
func (s *stream) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// Write implements io.Writer. It goes piece by piece, so that whoever takes a piece in
// time is not cut, however much is written at once.
func (s *stream) Write(b []byte) (written int, err error) {
	s.wrote = true
	for {
		n, err := s.piece(b[:min(len(b), maxPiece)])
		written += n
		if b = b[n:]; err != nil || len(b) == 0 {
			return written, err
		}
	}
}

// maxPiece is what a client must take within the write timeout, in bytes.
const maxPiece = 32 << 10

func (s *stream) piece(b []byte) (int, error) {
	s.dog.watch(s.stall)
	defer s.dog.rest()
	return s.ResponseWriter.Write(b)
}

// FlushError serves http.ResponseController.
func (s *stream) FlushError() error {
	s.dog.watch(s.stall)
	defer s.dog.rest()
	return s.rc.Flush()
}

// Flush implements http.Flusher.
func (s *stream) Flush() { _ = s.FlushError() }

// leave bounds what the handler has left in the buffer: it is written after the handler
// has returned, when nobody watches.
func (s *stream) leave() {
	s.dog.leave()
	if s.wrote {
		_ = s.rc.SetWriteDeadline(time.Now().Add(s.stall))
	}
}

// watchdog bites when a call takes longer than it may. One call at a time.
type watchdog struct {
	bite func()

	mu      sync.Mutex
	timer   *time.Timer
	until   time.Time // when the call that runs is too long; zero while none runs
	hasBite bool
	left    bool // the handler has returned: its writer must not be touched any more
}

func (d *watchdog) watch(wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left {
		return
	}
	d.until = time.Now().Add(wait)
	if d.timer == nil {
		d.timer = time.AfterFunc(wait, d.ring)
	} else {
		d.timer.Reset(wait)
	}
}

// ring may come late, for a call that has ended: then it does nothing.
func (d *watchdog) ring() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.left && !d.until.IsZero() && !time.Now().Before(d.until) {
		d.hasBite = true
		d.bite()
	}
}

// rest says whether the dog has bitten.
func (d *watchdog) rest() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until = time.Time{}
	if d.timer != nil {
		d.timer.Stop()
	}
	return d.hasBite
}

func (d *watchdog) leave() {
	d.rest()
	d.mu.Lock()
	d.left = true
	d.mu.Unlock()
}
