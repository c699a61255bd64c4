package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
)

func exchangeOf(login string, received time.Time) *access.Exchange {
	r, _ := http.NewRequest("GET", "https://crm.test/", nil)
	return &access.Exchange{Request: r, Received: received, Identity: &access.Identity{LoginID: login}}
}

func TestCutEndsTheStreamsOfOneLogin(t *testing.T) {
	s := NewStreams()
	now := time.Now()
	a1, a2, b, none := s.follow(exchangeOf("a", now)), s.follow(exchangeOf("a", now)), s.follow(exchangeOf("b", now)), s.follow(exchangeOf("", now))
	a3 := s.follow(exchangeOf("a", now))
	a2.close() // from the middle of the list
	s.Cut("")
	if a1.ended.Load() || none.ended.Load() {
		t.Error("cutting nobody has cut somebody")
	}
	s.Cut("a")
	if !a1.ended.Load() || a1.ctx.Err() == nil || !a3.ended.Load() {
		t.Error("a stream of the login lives on")
	}
	if b.ended.Load() || b.ctx.Err() != nil || a2.ended.Load() {
		t.Error("another stream was cut")
	}
	for _, st := range []*stream{a1, a3, b, none} {
		st.close()
	}
	if left := s.all(func(*stream) bool { return true }); len(left) != 0 {
		t.Errorf("%d streams are left when all are closed", len(left))
	}
	for i := range s.shards {
		if len(s.shards[i].open) != 0 {
			t.Error("an empty list is left")
		}
	}
}

func TestARequestThatComesLateForTheCutIsCutToo(t *testing.T) {
	s := NewStreams()
	now := time.Unix(1000, 0)
	s.now = func() time.Time { return now }
	s.Cut("a")
	for name, c := range map[string]struct {
		received time.Time
		ended    bool
	}{
		"authenticated before":   {now.Add(-time.Second), true},
		"in the same moment":     {now, true},
		"a login that came back": {now.Add(time.Second), false},
	} {
		st := s.follow(exchangeOf("a", c.received))
		if st.ended.Load() != c.ended {
			t.Errorf("%s: ended %v, want %v", name, st.ended.Load(), c.ended)
		}
		st.close()
	}
}

func TestForgottenCutsFailClosed(t *testing.T) {
	s := NewStreams()
	now := time.Unix(1000, 0)
	s.now = func() time.Time { now = now.Add(time.Second); return now }
	victim := "login"
	s.Cut(victim)
	sh := s.shardOf(victim)
	for i := 0; sh.oldest.IsZero(); i++ {
		s.Cut(fmt.Sprint(i))
	}
	if _, known := sh.cut[victim]; known || len(sh.cuts) != rememberedCuts || len(sh.cut) != rememberedCuts {
		t.Fatalf("%d cuts are kept", len(sh.cut))
	}
	if st := s.follow(exchangeOf(victim, time.Unix(1000, 0))); !st.ended.Load() {
		t.Error("a request older than what is remembered passes")
	}
	if st := s.follow(exchangeOf(victim, now)); st.ended.Load() {
		t.Error("a new request does not pass")
	}
}

func TestAReloadAsksAgainAboutStreamsAlone(t *testing.T) {
	s := NewStreams()
	old, young, marked := s.follow(exchangeOf("a", time.Now().Add(-longLived))), s.follow(exchangeOf("a", time.Now())), s.follow(exchangeOf("a", time.Now()))
	marked.long.Store(true)
	kept := s.follow(exchangeOf("b", time.Now().Add(-longLived)))
	s.reauthorize(func(ex *access.Exchange) bool { return ex.Identity.LoginID == "b" })
	if !old.ended.Load() || !marked.ended.Load() {
		t.Error("a stream that is no longer allowed lives on")
	}
	if young.ended.Load() || kept.ended.Load() {
		t.Error("cut what may go on")
	}
	s.CutAll()
	if !young.ended.Load() || !kept.ended.Load() {
		t.Error("CutAll leaves one")
	}
}

func TestStreamsBearConcurrency(t *testing.T) {
	s := NewStreams()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 300 {
				st := s.follow(exchangeOf(fmt.Sprint((i+j)%3), time.Now()))
				if j%50 == 0 {
					s.Cut(st.login)
					s.reauthorize(func(*access.Exchange) bool { return true })
				}
				st.close()
			}
		})
	}
	wg.Wait()
	if n := len(s.all(func(*stream) bool { return true })); n != 0 {
		t.Errorf("%d are left", n)
	}
}

func TestAnEventStreamFlowsAndEndsWithTheLogin(t *testing.T) {
	gone := make(chan struct{})
	next := make(chan string)
	addr := socket(t, func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
		go func() { io.Copy(io.Discard, conn); close(gone) }()
		for event := range next {
			io.WriteString(conn, event)
		}
	})
	f := newFront(t, SiteConfig{Upstreams: []string{addr}}, nil)
	r := bufio.NewReader(f.raw(t, getRoot))
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	events := bufio.NewReader(res.Body)
	for i := range 3 {
		want := fmt.Sprintf("data: %d\n", i)
		next <- want
		if got, err := events.ReadString('\n'); got != want || err != nil {
			t.Fatalf("got %q, %v: not flushed at once", got, err)
		}
	}
	if found := f.streams.all(func(st *stream) bool { return st.long.Load() }); len(found) != 1 {
		t.Errorf("%d event streams are known, want 1", len(found))
	}
	f.streams.Cut("l1")
	if _, err := events.ReadString('\n'); err == nil {
		t.Error("the client's stream lives on")
	}
	<-gone
	close(next)
}

func TestALongPollEndsWithTheLoginAndSaysWhy(t *testing.T) {
	inside := make(chan struct{})
	addr := socket(t, func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		close(inside)
		io.Copy(io.Discard, conn)
	})
	f := newFront(t, SiteConfig{Upstreams: []string{addr}}, nil)
	conn := f.raw(t, getRoot)
	<-inside
	f.streams.Cut("l1")
	if res := readAnswer(t, bufio.NewReader(conn)); res.StatusCode != 401 || !f.refused.Load().Login || f.refused.Load().Code != "session_ended" {
		t.Errorf("%d %v, want 401 session_ended", res.StatusCode, f.refused.Load())
	}
}

func TestARequestOfAnEndedLoginNeverReachesTheBackend(t *testing.T) {
	f := newFront(t, SiteConfig{Upstreams: []string{socket(t, func(net.Conn) { t.Error("reached") })}}, func(ex *access.Exchange) {
		ex.Received = time.Now().Add(-time.Second)
	})
	f.streams.Cut("l1")
	if res := f.ask(t, getRoot); res.StatusCode != 401 {
		t.Errorf("%d, want 401", res.StatusCode)
	}
}

const handshake = "GET /ws HTTP/1.1\r\nHost: crm.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// chat is a backend that accepts a WebSocket and then echoes bytes, saying first what
// stood right behind its answer.
func chat(t *testing.T, ended chan<- struct{}) string {
	return socket(t, func(conn net.Conn) {
		defer func() { ended <- struct{}{} }()
		r := bufio.NewReader(conn)
		req, err := http.ReadRequest(r)
		if err != nil || req.Header.Get("Upgrade") != "websocket" && req.Header.Get("Upgrade") != "WebSocket" || req.Header.Get("X-Tenant-Id") != "acme" {
			t.Errorf("handshake at the backend: %v %v", err, req)
			return
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade, X-Hop\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nServer: old\r\nX-Hop: 1\r\nSet-Cookie: a=b; HttpOnly\r\n\r\nhello")
		io.Copy(conn, r)
	})
}

func openSocket(t *testing.T, f *front, early string) (net.Conn, *bufio.Reader) {
	conn := f.raw(t, handshake+early)
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatal(err)
	}
	h := res.Header
	if res.StatusCode != 101 || h.Get("Upgrade") != "websocket" || h.Get("Connection") != "Upgrade" || h.Get("Sec-Websocket-Accept") == "" || h.Get("Server") != "" ||
		!strings.HasPrefix(h.Get("Set-Cookie"), "a="+sealedMark) || h.Get("X-Request-Id") == "" {
		t.Fatalf("%d %v", res.StatusCode, h)
	}
	return conn, r
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
}

func TestAWebSocketLosesNoByteAndClosesBothSides(t *testing.T) {
	ended := make(chan struct{}, 1)
	f := newFront(t, SiteConfig{Upstreams: []string{chat(t, ended)}, WebSocket: "opaque"}, func(ex *access.Exchange) { ex.Route.ReadOnly = false })

	conn, r := openSocket(t, f, "sent right behind the request")
	expect(t, r, "hello"+"sent right behind the request")
	io.WriteString(conn, "more")
	expect(t, r, "more")
	conn.(*net.TCPConn).CloseWrite() // the client has said all
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("after the goodbye came %q, %v", rest, err)
	}
	<-ended
	<-f.idle
	if n := len(f.streams.all(func(*stream) bool { return true })); n != 0 {
		t.Errorf("%d streams are left", n)
	}

	conn, r = openSocket(t, f, "")
	expect(t, r, "hello")
	f.streams.Cut("l1")
	if _, err := r.ReadByte(); err == nil {
		t.Error("the WebSocket lives on after its login")
	}
	<-ended
	<-f.idle
	conn.Close()
}

func TestAWebSocketThatTheBackendEndsEndsAtTheClient(t *testing.T) {
	addr := socket(t, func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nSet-Cookie: a=b; HttpOnly\r\n\r\nbye")
	})
	f := newFront(t, SiteConfig{Upstreams: []string{addr}, WebSocket: "opaque"}, nil)
	conn, r := openSocket(t, f, "")
	if all, err := io.ReadAll(r); string(all) != "bye" || err != nil {
		t.Errorf("got %q, %v", all, err)
	}
	conn.Close()
	<-f.idle
}

func TestABackendThatDeclinesAWebSocketSaysSoItself(t *testing.T) {
	f := newFront(t, SiteConfig{Upstreams: []string{says(t, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 3\r\n\r\nno!")}, WebSocket: "opaque"}, nil)
	if res := f.ask(t, handshake); res.StatusCode != 426 || text(t, res) != "no!" {
		t.Errorf("%d", res.StatusCode)
	}
}

// TestBigBodiesPassInFlatMemory moves 64 MiB each way and looks at the heap in between.
func TestBigBodiesPassInFlatMemory(t *testing.T) {
	const size = 64 << 20
	f := newFront(t, SiteConfig{Upstreams: []string{socket(t, func(conn net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		if n != size || err != nil {
			t.Errorf("the backend got %d bytes, %v", n, err)
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		io.Copy(conn, io.LimitReader(zeros{}, size))
	})}}, nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	conn := f.raw(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: crm.test\r\nContent-Length: %d\r\n\r\n", size))
	go io.Copy(conn, io.LimitReader(zeros{}, size))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
		t.Errorf("the client got %d bytes, %v: %s", n, err, f.log.String())
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > size/8 {
		t.Errorf("%d bytes were allocated to pass %d", grown, 2*size)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestABodyStillArrivingDoesNotOutliveItsExchange(t *testing.T) {
	f := newFront(t, SiteConfig{Upstreams: []string{says(t, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")}}, nil)
	conn := f.raw(t, "POST / HTTP/1.1\r\nHost: crm.test\r\nContent-Length: 1000\r\n\r\nonly this much")
	<-f.idle // the exchange ends though the client never sends the rest
	conn.Close()
}

func TestAnAnswerThatComesBeforeTheUploadsEndIsRead(t *testing.T) {
	addr := socket(t, func(conn net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: %d\r\n\r\n", 1<<20)
		io.CopyN(conn, zeros{}, 1<<19)
		io.Copy(io.Discard, r.Body) // it goes on reading while it answers
		io.CopyN(conn, zeros{}, 1<<19)
	})
	f := newFront(t, SiteConfig{Upstreams: []string{addr}}, nil)
	const size = 8 << 20
	conn := f.raw(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: crm.test\r\nContent-Length: %d\r\n\r\n", size))
	go io.CopyN(conn, zeros{}, size)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, res.Body); res.StatusCode != 413 || n != 1<<20 || err != nil {
		t.Errorf("%d with %d bytes, %v", res.StatusCode, n, err)
	}
}

func TestTheHeldByteComesWithTheEndAlone(t *testing.T) {
	for _, size := range []int{1, 2, 3, 64} {
		for _, length := range []int{0, 1, 2, 3, 100} {
			want := bytes.Repeat([]byte("x"), length)
			b := &requestBody{src: io.NopCloser(bytes.NewReader(want)), stream: true}
			var got []byte
			p := make([]byte, size)
			for {
				n, err := b.Read(p)
				got = append(got, p[:n]...)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if len(got) == length {
					t.Errorf("%d bytes by %d: all were there before the end", length, size)
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes by %d: got %d", length, size, len(got))
			}
		}
	}
	b := &requestBody{src: io.NopCloser(strings.NewReader("x")), stream: true}
	b.finish(func() {})
	if _, err := b.Read(make([]byte, 1)); err == nil {
		t.Error("a finished body is read")
	}
}

func TestPumpReturnsWhenTheContextEnds(t *testing.T) {
	client, clientEnd := net.Pipe()
	backend, backendEnd := net.Pipe()
	defer clientEnd.Close()
	defer backendEnd.Close()
	ctx, cancel := context.WithCancel(t.Context())
	g := &passage{b: &backends{buffers: new(bufferPool)}, ctx: ctx}
	done := make(chan struct{})
	go func() {
		g.pump(client, bufio.NewReader(client), backend)
		close(done)
	}()
	cancel()
	<-done
	if _, err := client.Write(nil); err != io.ErrClosedPipe {
		t.Errorf("the client's side is open: %v", err)
	}
}
