package edge

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/units"
)

// Shortened times: what takes several stalls must be longer than one, and is.
const stall = 500 * time.Millisecond

// impatient is a configuration with short timeouts.
func impatient(t *testing.T) Config {
	cfg := local(t)
	cfg.Timeouts = Timeouts{ReadHeader: units.Span(stall), Idle: units.Span(stall), BodyStall: units.Span(stall),
		BodyRate: units.KiB, WriteStall: units.Span(stall)}
	return cfg
}

// bodyResult is what a handler learned of a body.
type bodyResult struct {
	n   int64
	err error
}

// reading is a handler that reads the body whole and tells.
func reading(results chan<- bodyResult) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		results <- bodyResult{n, err}
		var refusal *access.Refusal
		if errors.As(err, &refusal) {
			http.Error(w, refusal.Code, refusal.Status)
			return
		}
		io.WriteString(w, "ok")
	})
}

// slowReader gives one piece after each pause.
type slowReader struct {
	pause  time.Duration
	piece  []byte
	pieces int
	stop   chan struct{} // when it is closed the rest never comes, until then
}

func (s *slowReader) Read(p []byte) (int, error) {
	if s.pieces == 0 {
		if s.stop != nil {
			<-s.stop
		}
		return 0, io.EOF
	}
	time.Sleep(s.pause)
	s.pieces--
	return copy(p, s.piece), nil
}

func protocols(t *testing.T, test func(t *testing.T, h2 bool)) {
	for h2, name := range map[bool]string{false: "HTTP/1.1", true: "HTTP/2"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, h2)
		})
	}
}

func TestABodyThatStopsIsCut(t *testing.T) {
	t.Parallel()
	protocols(t, func(t *testing.T, h2 bool) {
		results := make(chan bodyResult, 1)
		d := deps("crm.test")
		d.Handler = reading(results)
		g := start(t, impatient(t), d)
		stop := make(chan struct{})
		go func() {
			resp, err := g.client(h2).Post("https://crm.test/", "text/plain", &slowReader{piece: []byte("begin"), pieces: 1, stop: stop})
			if err == nil {
				resp.Body.Close()
			}
		}()
		got := <-results // the test's deadline is the only other way out
		close(stop)
		var refusal *access.Refusal
		if got.n != 5 || !errors.As(got.err, &refusal) || refusal.Status != 408 || refusal.Code != "body_too_slow" {
			t.Errorf("the handler read %d bytes, then %v; want 5 and a refusal with 408", got.n, got.err)
		}
		if g.meter.get("sallyport_edge_slow_total body") != 1 {
			t.Error("it is not counted")
		}
	})
}

func TestABodyThatDripsBelowTheRateIsCut(t *testing.T) {
	t.Parallel()
	protocols(t, func(t *testing.T, h2 bool) {
		results := make(chan bodyResult, 1)
		d := deps("crm.test")
		d.Handler = reading(results)
		g := start(t, impatient(t), d)
		// A byte each 50 ms never stalls, and is 20 bytes a second.
		drip := &slowReader{pause: 50 * time.Millisecond, piece: []byte("x"), pieces: 400}
		resp, err := g.client(h2).Post("https://crm.test/", "text/plain", drip)
		if err == nil {
			resp.Body.Close()
		}
		got := <-results
		var refusal *access.Refusal
		if got.n >= 400 || !errors.As(got.err, &refusal) || refusal.Status != 408 {
			t.Errorf("the handler read %d bytes, then %v; want less than 400 and a refusal with 408", got.n, got.err)
		}
	})
}

func TestABodyThatMakesProgressIsNotCut(t *testing.T) {
	t.Parallel()
	protocols(t, func(t *testing.T, h2 bool) {
		results := make(chan bodyResult, 1)
		d := deps("crm.test")
		d.Handler = reading(results)
		g := start(t, impatient(t), d)
		// 24 pieces with a pause of a sixth of a stall each: four stalls in all, and a busy machine may add some to each.
		slow := &slowReader{pause: stall / 6, piece: bytes.Repeat([]byte("x"), 1024), pieces: 24}
		resp, err := g.client(h2).Post("https://crm.test/", "text/plain", slow)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := <-results; got.n != 24*1024 || got.err != nil || resp.StatusCode != 200 {
			t.Errorf("the handler read %d bytes, then %v; status %d", got.n, got.err, resp.StatusCode)
		}
	})
}

func TestASlowBackendCostsTheClientNothing(t *testing.T) {
	t.Parallel()
	protocols(t, func(t *testing.T, h2 bool) {
		d := deps("crm.test")
		d.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := sha256.New()
			buf := make([]byte, 64<<10)
			for i := 0; ; i++ {
				if i < 2 {
					time.Sleep(stall * 3 / 2) // the reader is slow, not the client
				}
				n, err := r.Body.Read(buf)
				h.Write(buf[:n])
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Errorf("read: %v", err)
					return
				}
			}
			time.Sleep(stall * 3 / 2) // and slow to answer
			if err := r.Context().Err(); err != nil {
				t.Errorf("the request was cancelled while the handler worked: %v", err)
			}
			fmt.Fprintf(w, "%x", h.Sum(nil))
		})
		cfg := impatient(t)
		cfg.Timeouts.WriteStall = units.Span(20 * time.Second)
		g := start(t, cfg, d)
		upload := bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // 2 MiB
		resp, err := g.client(h2).Post("https://crm.test/", "application/octet-stream", bytes.NewReader(upload))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got, _ := io.ReadAll(resp.Body); string(got) != fmt.Sprintf("%x", sha256.Sum256(upload)) {
			t.Errorf("what arrived differs: %s", got)
		}
	})
}

func TestWhatHasNoBodyLives(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"a long poll": func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(3 * stall):
				io.WriteString(w, "1 2 3 ")
			case <-r.Context().Done():
			}
		},
		"an event stream with long pauses": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for _, event := range []string{"1 2 ", "3 "} {
				time.Sleep(3 * stall / 2)
				io.WriteString(w, event)
				if err := http.NewResponseController(w).Flush(); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, h2 bool) {
				d := deps("crm.test")
				d.Handler = handler
				g := start(t, impatient(t), d)
				resp, err := g.client(h2).Get("https://crm.test/")
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if got, err := io.ReadAll(resp.Body); string(got) != "1 2 3 " || err != nil {
					t.Errorf("%q, %v", got, err)
				}
			})
		})
	}
}

func TestAStreamAfterABodyLives(t *testing.T) {
	t.Parallel()
	protocols(t, func(t *testing.T, h2 bool) {
		for name, take := range map[string]func(*http.Request){
			"read":   func(r *http.Request) { io.Copy(io.Discard, r.Body) },
			"closed": func(r *http.Request) { r.Body.Close() },
		} {
			d := deps("crm.test")
			d.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				take(r)
				for i := range 3 {
					fmt.Fprint(w, i)
					http.NewResponseController(w).Flush()
					select {
					case <-time.After(stall):
					case <-r.Context().Done():
						t.Errorf("%s: the request was cancelled while it streamed", name)
						return
					}
				}
			})
			g := start(t, impatient(t), d)
			resp, err := g.client(h2).Post("https://crm.test/", "text/plain", strings.NewReader("question"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(resp.Body); string(got) != "012" || err != nil {
				t.Errorf("%s: %q, %v", name, got, err)
			}
			resp.Body.Close()
		}
	})
}

func TestARefusalDoesNotWaitForTheBodyForEver(t *testing.T) {
	t.Parallel()
	d := deps("crm.test")
	d.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 403) })
	g := start(t, impatient(t), d)
	for name, head := range map[string]string{
		"a length that never comes": "Content-Length: 1000",
		"chunks that never come":    "Transfer-Encoding: chunked",
	} {
		c := g.dial("crm.test")
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: crm.test\r\n%s\r\n\r\n", head)
		// net/http reads what it can of the body before it answers.
		line, err := bufio.NewReader(c).ReadString('\n')
		if !strings.HasPrefix(line, "HTTP/1.1 403") {
			t.Errorf("%s: %q, %v", name, line, err)
		}
		if _, err := io.ReadAll(c); err != nil && !isReset(err) {
			t.Errorf("%s: the connection is not closed: %v", name, err)
		}
	}
}

// isReset says that the other side ended the connection rudely.
func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

func TestTheNextRequestIsNotCutByTheLastOnesDeadline(t *testing.T) {
	t.Parallel()
	results := make(chan bodyResult, 10)
	d := deps("crm.test")
	d.Handler = reading(results)
	cfg := impatient(t)
	cfg.Timeouts.Idle = units.Span(20 * time.Second)
	g := start(t, cfg, d)
	c := g.dial("crm.test")
	r := bufio.NewReader(c)
	for i := range 2 {
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: crm.test\r\nContent-Length: 4\r\n\r\nbody")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		time.Sleep(2 * stall)
	}
}

func TestSilentConnectionsAreClosed(t *testing.T) {
	for name, talk := range map[string]func(t *testing.T, g *gate) net.Conn{
		"no handshake": func(t *testing.T, g *gate) net.Conn {
			c, err := net.Dial("tcp", g.Addrs().HTTPS.String())
			must(t, err)
			return c
		},
		"half a handshake": func(t *testing.T, g *gate) net.Conn {
			c, err := net.Dial("tcp", g.Addrs().HTTPS.String())
			must(t, err)
			c.Write([]byte{22, 3, 1, 0, 200, 1})
			return c
		},
		"no request": func(t *testing.T, g *gate) net.Conn { return g.dial("crm.test") },
		"a head that drips": func(t *testing.T, g *gate) net.Conn {
			c := g.dial("crm.test")
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: crm.test\r\n")
			go func() {
				for { // each header comes in time, the head never
					if _, err := fmt.Fprint(c, "X-A: b\r\n"); err != nil {
						return
					}
					time.Sleep(stall / 10)
				}
			}()
			return c
		},
		"idle after a request": func(t *testing.T, g *gate) net.Conn {
			c := g.dial("crm.test")
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n")
			return c
		},
		"HTTP/2, no request": func(t *testing.T, g *gate) net.Conn {
			c, _ := g.dialH2(t)
			return c
		},
		"plain HTTP, no request": func(t *testing.T, g *gate) net.Conn {
			c, err := net.Dial("tcp", g.Addrs().HTTP.String())
			must(t, err)
			return c
		},
		"plain HTTP, a body that never comes": func(t *testing.T, g *gate) net.Conn {
			c, err := net.Dial("tcp", g.Addrs().HTTP.String())
			must(t, err)
			fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: crm.test\r\nContent-Length: 1000\r\n\r\n")
			return c
		},
		"ops, half a head": func(t *testing.T, g *gate) net.Conn {
			c, err := net.Dial("tcp", g.Addrs().Ops.String())
			must(t, err)
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x")
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, impatient(t), deps("crm.test"))
			c := talk(t, g)
			defer c.Close()
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.Copy(io.Discard, c); err != nil && !isReset(err) {
				t.Errorf("it is still open: %v", err)
			}
			eventually(t, "its place is free", func() bool { return g.meter.get("sallyport_edge_connections") == 0 })
		})
	}
}

func TestALargeHeadIsRefused(t *testing.T) {
	t.Parallel()
	cfg := local(t)
	cfg.MaxHeader = 8 * units.KiB
	g := start(t, cfg, deps("crm.test"))
	protocols(t, func(t *testing.T, h2 bool) {
		for size, want := range map[int]int{6 << 10: 200, 16 << 10: 431} {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://crm.test/", nil)
			req.Header.Set("X-Large", strings.Repeat("x", size))
			resp, err := g.client(h2).Do(req)
			if want == 431 && err != nil { // closed while it was being sent, or refused by the announced limit
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%d bytes: %d, want %d", size, resp.StatusCode, want)
			}
		}
	})
}

func TestAClientThatTakesNothingIsCut(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	d := deps("crm.test")
	d.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 32<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				ended <- err
				return
			}
		}
	})
	t.Run("HTTP/1.1", func(t *testing.T) {
		g := start(t, impatient(t), d)
		fmt.Fprint(g.dial("crm.test"), "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n") // and reads nothing
		<-ended
		eventually(t, "it is counted", func() bool { return g.meter.get("sallyport_edge_slow_total answer") > 0 })
	})
	t.Run("HTTP/2, the stream's window is shut", func(t *testing.T) {
		g := start(t, impatient(t), d)
		c, fr := g.dialH2(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
		go io.Copy(io.Discard, c) // the connection itself is taken from
		getH2(t, fr)
		<-ended
		eventually(t, "it is counted", func() bool { return g.meter.get("sallyport_edge_slow_total answer") > 0 })
	})
	t.Run("HTTP/2, the last bytes wait when the handler has returned", func(t *testing.T) {
		d := deps("crm.test")
		d.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 2000)) })
		g := start(t, impatient(t), d)
		c, fr := g.dialH2(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
		getH2(t, fr)
		for { // our side keeps the stream open for ever; theirs resets it
			f, err := http2.NewFramer(nil, c).ReadFrame()
			if err != nil {
				t.Fatalf("no RST_STREAM: %v", err)
			}
			if _, ok := f.(*http2.RSTStreamFrame); ok {
				return
			}
		}
	})
}

func TestADownloadThatMakesProgressIsNotCut(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	d := deps("crm.test")
	d.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, size)) })
	protocols(t, func(t *testing.T, h2 bool) {
		cfg := impatient(t)
		cfg.Timeouts.WriteStall = units.Span(5 * stall)
		g := start(t, cfg, d)
		resp, err := g.client(h2).Get("https://crm.test/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var got int64
		for {
			n, err := io.CopyN(io.Discard, resp.Body, 1<<20)
			if got += n; err != nil {
				break
			}
			time.Sleep(stall) // eight times, longer than the limit in all
		}
		if got != size {
			t.Errorf("%d bytes of %d", got, size)
		}
	})
}

func TestRefill(t *testing.T) {
	const full = 30 * time.Second
	for _, c := range []struct {
		name   string
		credit time.Duration
		waited time.Duration
		n      int
		want   time.Duration
	}{
		{"waiting costs", full, 10 * time.Second, 0, 20 * time.Second},
		{"bytes at the rate pay for the waiting", full, 10 * time.Second, 10 << 10, full},
		{"bytes below the rate pay a part", full, 10 * time.Second, 5 << 10, 25 * time.Second},
		{"no more than full is kept", full, 0, 1 << 30, full},
		{"too long without a byte is the end", full, 31 * time.Second, 0, 0},
		{"too long but for many bytes is not", full, 31 * time.Second, 2 << 10, time.Second},
		{"too long for few bytes is the end", full, 31 * time.Second, 1 << 9, -500 * time.Millisecond},
	} {
		if got := refill(c.credit, full, c.waited, c.n, 1<<10); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
