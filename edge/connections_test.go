package edge

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/units"
)

func newRoom(per, total int, exempt ...netip.Prefix) *connections {
	room := &connections{from: map[netip.Addr]int{}, open: map[*conn]struct{}{}, refused: observe.Discard{}, slow: observe.Discard{},
		gauge: observe.Discard{}, stall: time.Minute}
	room.limits.Store(&limits{Connections{PerAddress: per, Total: total}, exempt})
	return room
}

func TestAdmit(t *testing.T) {
	for _, c := range []struct {
		name  string
		peers []string
		want  string // refusal of the last one
	}{
		{"one address up to the limit", []string{"192.0.2.1", "192.0.2.1"}, ""},
		{"one address above the limit", []string{"192.0.2.1", "192.0.2.1", "192.0.2.1"}, "address"},
		{"another address beside it", []string{"192.0.2.1", "192.0.2.1", "192.0.2.2"}, ""},
		{"an IPv4 address written as IPv6 is the same", []string{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"}, "address"},
		{"IPv6 addresses of one /64", []string{"2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:0:9::3"}, "address"},
		{"IPv6 addresses of two /64", []string{"2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"}, ""},
		{"a zone makes no difference", []string{"fe80::1%a", "fe80::1%b", "fe80::1%c"}, "address"},
		{"a trusted proxy is not counted", []string{"10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1"}, ""},
		{"a trusted proxy counts in total", []string{"10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1"}, "total"},
		{"the total", []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"}, "total"},
	} {
		t.Run(c.name, func(t *testing.T) {
			room := newRoom(2, 4, netip.MustParsePrefix("10.0.0.0/8"))
			var got string
			var in []*conn
			for i, peer := range c.peers {
				one := &conn{room: room}
				if got = room.admit(one, netip.MustParseAddr(peer)); got == "" {
					in = append(in, one)
				} else if i != len(c.peers)-1 {
					t.Fatalf("%s is refused already: %s", peer, got)
				}
			}
			if got != c.want {
				t.Errorf("refused for %q, want %q", got, c.want)
			}
			for range 2 { // leaving twice counts once
				for _, one := range in {
					room.leave(one)
				}
			}
			if len(room.open) != 0 || len(room.from) != 0 {
				t.Errorf("when all have left, %d and %d places are still taken", len(room.open), len(room.from))
			}
		})
	}
}

func TestTooManyConnectionsOfAnAddressAreClosed(t *testing.T) {
	cfg := local(t)
	cfg.Connections = Connections{PerAddress: 3, Total: 100}
	g := start(t, cfg, deps("crm.test"))
	var open []net.Conn
	for range 3 {
		c := g.dial("crm.test")
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n")
		if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	for _, addr := range []string{g.Addrs().HTTPS.String(), g.Addrs().HTTP.String()} { // one count for both
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
			t.Error("the fourth connection is served")
		} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Error("the fourth connection is left open")
		}
		c.Close()
	}
	if n := g.meter.get("sallyport_edge_connections_refused_total address"); n != 2 {
		t.Errorf("%v refused connections are counted, want 2", n)
	}
	// The ops listener has places of its own: it must work now.
	resp, err := http.Get("http://" + g.Addrs().Ops.String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	open[0].Close()
	eventually(t, "a place is free", func() bool { return g.meter.get("sallyport_edge_connections") == 2 })
	if resp, err := g.client(false).Get("https://crm.test/"); err != nil {
		t.Error(err)
	} else {
		resp.Body.Close()
	}
}

// deadlines is a net.Conn that remembers its write deadline.
type deadlines struct {
	net.Conn
	write time.Time
	calls int
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write, d.calls = t, d.calls+1; return nil }
func (d *deadlines) SetReadDeadline(time.Time) error    { return nil }
func (d *deadlines) Write(b []byte) (int, error)        { return len(b), nil }

func TestTheEarlierWriteDeadlineHolds(t *testing.T) {
	inner := new(deadlines)
	c := &conn{Conn: inner, room: newRoom(1, 1)}
	now := time.Now()
	within := func(what string, least, most time.Duration) {
		t.Helper()
		if left := inner.write.Sub(now); left < least || left > most {
			t.Errorf("%s: the deadline is in %v, want %v to %v", what, left, least, most)
		}
	}
	c.arm(now)
	within("a write", time.Minute, time.Minute)
	c.arm(now.Add(10 * time.Second))
	if inner.calls != 1 {
		t.Error("the next write soon after sets it again")
	}
	c.arm(now.Add(20 * time.Second))
	within("a write later", 80*time.Second, 80*time.Second)
	c.SetWriteDeadline(now.Add(5 * time.Second)) // as crypto/tls does when it closes
	c.arm(now)
	within("a write under an earlier deadline", 5*time.Second, 5*time.Second)
	c.SetWriteDeadline(time.Time{})
	c.arm(now)
	within("a write after that deadline is taken back", time.Minute, time.Minute)
	c.SetDeadline(now.Add(time.Hour))
	c.arm(now)
	within("a write under a later deadline", time.Minute, time.Minute)
}

// hijacking takes the connection over, as a WebSocket does, and echoes.
func hijacking(ended chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			ended <- err
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				ended <- err
				return
			}
			io.WriteString(c, line)
		}
	})
}

func (g *gate) upgrade() (net.Conn, *bufio.Reader) {
	g.t.Helper()
	c := g.dial("crm.test")
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: crm.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 101 {
		g.t.Fatalf("upgrade: %v", err)
	}
	return c, r
}

func TestAnUpgradedConnectionLives(t *testing.T) {
	t.Parallel()
	d := deps("crm.test")
	d.Handler = hijacking(make(chan error, 1))
	g := start(t, impatient(t), d)
	c, r := g.upgrade()
	for range 3 {
		time.Sleep(2 * stall)
		fmt.Fprint(c, "ping\n")
		if line, err := r.ReadString('\n'); line != "ping\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
}

func TestDrain(t *testing.T) {
	begun, release := make(chan string, 10), make(chan struct{})
	cut := make(chan error, 1)
	d := deps("crm.test")
	d.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- r.URL.Path
		switch r.URL.Path {
		case "/finishes":
			<-release
			io.WriteString(w, "finished")
		case "/streams":
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/upgrades":
			hijacking(cut).ServeHTTP(w, r)
		}
	})
	cfg := local(t)
	cfg.Drain = units.Span(2 * time.Second)
	cfg.DrainDelay = units.Span(200 * time.Millisecond)
	g := start(t, cfg, d)
	answers := make(chan string, 2)
	for _, path := range []string{"/finishes", "/streams"} {
		go func() {
			resp, err := g.client(false).Get("https://crm.test" + path)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			answers <- fmt.Sprintf("%s %s %v", path, b, err != nil)
		}()
	}
	c := g.dial("crm.test")
	fmt.Fprint(c, "GET /upgrades HTTP/1.1\r\nHost: crm.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	for range 3 {
		<-begun
	}
	g.cancel()
	eventually(t, "readyz turns", func() bool { return g.health.of("edge") == errDraining })
	if c, err := net.Dial("tcp", g.Addrs().HTTPS.String()); err != nil {
		t.Error("during drain_delay new connections are still taken, but:", err)
	} else {
		c.Close()
	}
	eventually(t, "no connection is taken", func() bool {
		c, err := net.Dial("tcp", g.Addrs().HTTPS.String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if resp, err := http.Get("http://" + g.Addrs().Ops.String() + "/"); err != nil {
		t.Error("ops must answer while we drain:", err)
	} else {
		resp.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	}
	close(release)
	if got := <-answers; got != "/finishes finished false" {
		t.Errorf("%q; a running request must finish first", got)
	}
	if got := <-answers; got != "/streams  true" {
		t.Errorf("%q; a stream that does not end must be cut", got)
	}
	<-cut // the upgraded connection
	if err := <-g.done; err != nil {
		t.Errorf("Run = %v", err)
	}
	g.done <- nil
	if n := g.work.running.Load(); n != 0 {
		t.Errorf("%d handlers run when Run has returned", n)
	}
}
