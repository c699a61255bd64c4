package edge

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/observe"
)

// connections counts the open connections of all public listeners. What is above a
// limit is closed as soon as it is accepted, before a byte is read.
type connections struct {
	limits  atomic.Pointer[limits]
	refused observe.Counter // by reason: address, total
	slow    observe.Counter // by side
	gauge   observe.Gauge
	stall   time.Duration // longest single write

	mu   sync.Mutex
	from map[netip.Addr]int
	open map[*conn]struct{}
}

// limits is what a reload may change.
type limits struct {
	Connections
	exempt []netip.Prefix // proxies: many people come from one address
}

// seat is the address that is counted: IPv6 by /64, which one subscriber has whole
// (RFC 6177).
func seat(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

func (l *limits) exempts(a netip.Addr) bool {
	for _, p := range l.exempt {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// admit gives a connection its place, or the reason why there is none.
func (cs *connections) admit(c *conn, peer netip.Addr) (refused string) {
	l := cs.limits.Load()
	peer = peer.Unmap().WithZone("")
	c.seat, c.counted = seat(peer), !l.exempts(peer)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	switch {
	case len(cs.open) >= l.Total:
		return "total"
	case c.counted && cs.from[c.seat] >= l.PerAddress:
		return "address"
	}
	cs.open[c] = struct{}{}
	if c.counted {
		cs.from[c.seat]++
	}
	cs.gauge.Set(float64(len(cs.open)))
	return ""
}

func (cs *connections) leave(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if _, in := cs.open[c]; !in {
		return
	}
	delete(cs.open, c)
	if c.counted {
		if cs.from[c.seat]--; cs.from[c.seat] == 0 {
			delete(cs.from, c.seat)
		}
	}
	cs.gauge.Set(float64(len(cs.open)))
}

// closeAll closes what is still open, upgraded connections among them, of which
// http.Server knows nothing any more.
func (cs *connections) closeAll() int {
	cs.mu.Lock()
	open := make([]*conn, 0, len(cs.open))
	for c := range cs.open {
		open = append(open, c)
	}
	cs.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
	return len(open)
}

// listener admits connections.
type listener struct {
	net.Listener
	room *connections
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, room: l.room}
		// An address that cannot be read counts as the zero address, with all its like.
		peer, _ := netip.ParseAddrPort(raw.RemoteAddr().String())
		if reason := l.room.admit(c, peer.Addr()); reason != "" {
			l.room.refused.Add(1, reason)
			raw.Close()
			continue
		}
		return c, nil
	}
}

// conn is one connection below TLS. It bounds each write: a client that does not take
// its answer holds a goroutine, buffers and an upstream connection. A write is at most
// one TLS record or a few, so whoever takes any bytes at all is not cut.
type conn struct {
	net.Conn
	room    *connections
	seat    netip.Addr
	counted bool
	once    sync.Once

	mu    sync.Mutex
	above time.Time // the deadline that http.Server or crypto/tls set; zero is none
	armed time.Time // the deadline of the socket
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	c.arm(time.Now())
	n, err := c.Conn.Write(b)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		c.room.slow.Add(1, "answer")
	}
	return n, err
}

// arm sets the socket's deadline. Within a quarter of the time it leaves the one that
// stands, to save the call.
func (c *conn) arm(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	want := now.Add(c.room.stall)
	if !c.above.IsZero() && c.above.Before(want) {
		want = c.above
	} else if left := c.armed.Sub(now); left > c.room.stall*3/4 && left <= c.room.stall {
		return
	}
	c.armed = want
	_ = c.Conn.SetWriteDeadline(want) // fails only on a closed connection, as the write will
}

// SetWriteDeadline implements net.Conn. The earlier of it and our own holds.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.IsZero() && c.above.IsZero() {
		return nil // what is armed is ours, and far enough
	}
	c.above, c.armed = t, t
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.Conn.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// Close implements net.Conn and gives the place back.
func (c *conn) Close() error {
	c.once.Do(func() { c.room.leave(c) })
	return c.Conn.Close()
}
