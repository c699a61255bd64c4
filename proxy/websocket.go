package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// ReverseProxy's own way of switching protocols loses what a client sends right behind its
// request, and leaks connections when a check fails (golang/go#80875). So it is done here.

// errUpgraded tells ReverseProxy that the answer has been given: the connection is no longer HTTP.
var errUpgraded = errors.New("the connection was switched")

// farewell is how long one side of a WebSocket may go on after the other has ended.
const farewell = 10 * time.Second

func isWebSocket(h http.Header) bool {
	upgrade := h["Upgrade"]
	return len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket") && hasToken(h["Connection"], "upgrade")
}

func hasToken(values []string, token string) bool {
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.Trim(part, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// switchProtocols answers a WebSocket's handshake and then passes bytes both ways until one
// side ends, or the login does.
func (g *passage) switchProtocols(res *http.Response) error {
	defer res.Body.Close()
	backend, ok := res.Body.(io.ReadWriteCloser)
	if !g.upgrade || !ok || !isWebSocket(res.Header) {
		return fmt.Errorf("the backend switched to %q, which nobody had asked for", res.Header.Get("Upgrade"))
	}
	g.clean(res.Header)
	h := g.ex.Writer.Header()
	for name, values := range res.Header {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Content-Length", "Trailer", "Upgrade":
		default:
			h[name] = values
		}
	}
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	g.stream.long.Store(true)
	g.begun = true
	g.ex.Writer.WriteHeader(http.StatusSwitchingProtocols)
	conn, rw, err := http.NewResponseController(g.ex.Writer).Hijack()
	if err != nil {
		g.b.log.Error("a connection could not be taken over for a WebSocket", "request", g.ex.ID, "error", err)
		panic(http.ErrAbortHandler) // the answer has begun
	}
	g.pump(conn, rw.Reader, backend)
	return errUpgraded
}

// pump copies both ways and returns when both connections are closed and nothing copies any
// more. What the client had sent already stands in early.
func (g *passage) pump(client net.Conn, early *bufio.Reader, backend io.ReadWriteCloser) {
	closeBoth := sync.OnceFunc(func() {
		client.Close()
		backend.Close()
	})
	defer closeBoth()
	stop := context.AfterFunc(g.ctx, closeBoth)
	defer stop()
	ended := make(chan struct{}, 2)
	go func() {
		g.copy(backend, io.MultiReader(io.LimitReader(early, int64(early.Buffered())), client))
		closeWrite(backend)
		ended <- struct{}{}
	}()
	go func() {
		g.copy(client, backend)
		closeWrite(client)
		ended <- struct{}{}
	}()
	<-ended
	timer := time.AfterFunc(farewell, closeBoth)
	defer timer.Stop()
	<-ended
}

func (g *passage) copy(dst io.Writer, src io.Reader) {
	buf := g.b.buffers.Get()
	defer g.b.buffers.Put(buf)
	io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, buf) // an error is the end of that side
}

func closeWrite(c any) {
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		return
	}
	if whole, ok := c.(io.Closer); ok {
		whole.Close()
	}
}
