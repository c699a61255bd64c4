package proxy

import (
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sallyport/sallyport/access"
)

// rewrite makes the backend's request of the client's: strip again, inject, drop credentials,
// restore the raw target. ReverseProxy has removed hop-by-hop headers before, so what a client
// lists under Connection cannot take an injected header away (CVE-2021-33197).
func (g *passage) rewrite(pr *httputil.ProxyRequest) {
	out, in, h := pr.Out, pr.In, pr.Out.Header
	restoreContent(h, in.Header)
	stripHeaders(h, g.at.protect)
	for _, name := range [...]string{"Authorization", "Cookie", "Expect", "Te", "Trailer", "Http2-Settings", "Alt-Used"} {
		delete(h, name)
	}
	if creates(&g.ex.Route) {
		delete(h, "Accept-Encoding") // the answer is read for the id, see learnID
	}
	g.inject(h)
	if g.cookies != "" {
		h["Cookie"] = []string{g.cookies}
	}
	out.Host = in.Host
	out.Trailer = g.at.allowedTrailers(in.Trailer)
	out.TransferEncoding = nil // one framing: the transport decides by the body's size alone
}

// restoreContent brings back what a client wanted removed by naming it under Connection:
// the gates have judged the body by its type, so the backend reads it by that type too.
func restoreContent(h, in http.Header) {
	if len(in["Connection"]) == 0 {
		return
	}
	for name, values := range in {
		if strings.HasPrefix(name, "Content-") && h[name] == nil {
			h[name] = values
		}
	}
}

// plainTarget says whether a raw target is one that the transport will send as it stands: the
// gates have made sure, and this makes sure of the gates.
func plainTarget(raw string) bool {
	if raw == "" || raw[0] != '/' || strings.HasPrefix(raw, "//") { // "//x" would be sent as an absolute form
		return false
	}
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// allowedTrailers announces those of the client's trailers that the site lets pass; their
// values come with the end of the body.
func (b *siteBackend) allowedTrailers(in http.Header) http.Header {
	var out http.Header
	for _, name := range b.trailers {
		if _, announced := in[name]; announced {
			if out == nil {
				out = http.Header{}
			}
			out[name] = nil
		}
	}
	return out
}

// errReplay says that a streamed body has gone by and cannot be sent again.
var errReplay = errors.New("the request's body cannot be sent a second time")

// attach gives an attempt its body. A spooled one begins anew each time; a stream is there
// for the first attempt that reads it.
func (g *passage) attach(out *http.Request) error {
	out.Body, out.GetBody, out.ContentLength = http.NoBody, nil, 0
	body := &g.ex.Body
	switch {
	case !body.Present:
		if g.ex.Mutating() && replayedByTransport(out) {
			out.Body = emptyBody{}
		}
		return nil
	case body.Stream != nil:
		if g.bodies == nil {
			g.bodies = append(g.bodies, &requestBody{src: body.Stream, stream: true})
			// Else an answer that begins before the upload has ended would end it (HTTP/1.1 alone).
			_ = http.NewResponseController(g.ex.Writer).EnableFullDuplex()
		}
		b := g.bodies[0]
		if b.started() {
			return errReplay
		}
		b.atEnd = g.trailersInto(out)
		out.Body, out.ContentLength = b, g.streamSize()
	case body.Open == nil:
		return access.Unavailable("body_unavailable", errors.New("a body without content"))
	case body.Size != 0:
		open := func() (io.ReadCloser, error) {
			src, err := body.Open()
			if err != nil {
				return nil, access.Unavailable("body_unavailable", err)
			}
			b := &requestBody{src: src, atEnd: g.trailersInto(out)}
			g.bodies = append(g.bodies, b)
			return b, nil
		}
		first, err := open()
		if err != nil {
			return err
		}
		out.Body, out.ContentLength = first, body.Size
		if out.Header["Idempotency-Key"] == nil && out.Header["X-Idempotency-Key"] == nil {
			out.GetBody = open // the transport uses it when not one byte had been sent
		}
	}
	if len(out.Trailer) > 0 {
		out.ContentLength = -1 // trailers need the chunked coding (RFC 9112, section 7.1.2)
	}
	return nil
}

// replayedByTransport says whether the transport would send a request without a body again when
// a kept connection breaks: it takes GET to be safe, which a legacy GET that deletes is not.
func replayedByTransport(out *http.Request) bool {
	return out.Method == http.MethodGet || out.Method == http.MethodHead || out.Method == http.MethodOptions
}

// emptyBody is a body of no bytes that the transport cannot rewind.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }

// streamSize is the length of a streamed body: the client's own when it is passed as it is.
func (g *passage) streamSize() int64 {
	r := g.ex.Request
	if g.ex.Body.Size >= 0 {
		return g.ex.Body.Size
	}
	if r.ContentLength > 0 && r.Header["Content-Encoding"] == nil {
		return r.ContentLength
	}
	return -1
}

func (g *passage) trailersInto(out *http.Request) func() {
	if len(out.Trailer) == 0 {
		return nil
	}
	return func() {
		for name := range out.Trailer {
			out.Trailer[name] = g.ex.Request.Trailer[name]
		}
	}
}

// requestBody is a body on its way to the backend. It notes why reading failed, for that is the
// client's fault and not the backend's, and once finished it is never read again: the
// transport may go on reading while the exchange has ended.
//
// The last byte of a stream is held back until the stream has ended well. A refusal at the very
// end therefore comes before the last byte, whatever the framing.
type requestBody struct {
	src    io.ReadCloser
	stream bool
	atEnd  func()

	mu       sync.Mutex
	held     [1]byte
	holds    bool
	read     bool
	ended    bool
	err      error
	finished atomic.Bool
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.finished.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, io.EOF // the server may have closed the source by now, and that is no error
	}
	b.read = true
	n, err := b.next(p)
	switch {
	case err == io.EOF:
		b.ended = true
		if b.atEnd != nil {
			b.atEnd()
		}
	case err != nil:
		b.err = err
		return 0, err // what came with the error was not judged to its end
	}
	return n, err
}

func (b *requestBody) next(p []byte) (int, error) {
	if !b.stream || len(p) == 0 {
		return b.src.Read(p)
	}
	for {
		into := p
		if b.holds {
			into = p[1:]
		}
		var spare [1]byte
		if len(into) == 0 {
			into = spare[:]
		}
		n, err := b.src.Read(into)
		switch {
		case err == io.EOF && n == 0 && b.holds:
			p[0], b.holds = b.held[0], false
			return 1, io.EOF
		case err == io.EOF && n == 0:
			return 0, io.EOF
		case err != nil && err != io.EOF:
			return 0, err
		case n == 0:
			continue
		}
		// There are n new bytes behind the one that is held; the last of all is held next.
		last := into[n-1]
		if b.holds {
			p[0] = b.held[0]
			n++
		}
		b.held[0], b.holds = last, true
		if n > 1 {
			return n - 1, nil // an io.EOF will be told again
		}
	}
}

// Close implements io.Closer for the transport, which closes when it has failed to connect too.
// The source is closed by finish, for another attempt may need it.
func (b *requestBody) Close() error { return nil }

func (b *requestBody) started() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read
}

func (b *requestBody) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// finish ends the reading and closes the source. A read under way is waited for, since it may
// write to the exchange; linger bounds how long the client can make it last.
func (b *requestBody) finish(linger func()) {
	b.finished.Store(true)
	if !b.mu.TryLock() {
		linger()
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	if b.stream && !b.ended {
		linger() // closing drains what is on its way, so that the client gets to read the answer
	}
	b.src.Close()
}
