package edge

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestMoreStreamsThanAllowedAreRefused(t *testing.T) {
	running, release := make(chan struct{}, 10), make(chan struct{})
	d := deps("crm.test")
	d.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { running <- struct{}{}; <-release })
	cfg := local(t)
	cfg.MaxStreams = 2
	g := start(t, cfg, d)
	defer close(release)
	c, fr := g.dialH2(t)
	for id := uint32(1); id <= 5; id += 2 {
		writeGet(t, fr, id)
	}
	<-running
	<-running
	for {
		f, err := http2.NewFramer(nil, c).ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if rst, ok := f.(*http2.RSTStreamFrame); ok && rst.StreamID == 5 {
			break
		}
	}
	if len(running) != 0 {
		t.Error("a third handler runs")
	}
}

// dialH2 opens an HTTP/2 connection by hand, past the server's first SETTINGS.
func (g *gate) dialH2(t *testing.T, settings ...http2.Setting) (net.Conn, *http2.Framer) {
	t.Helper()
	c, err := tls.Dial("tcp", g.Addrs().HTTPS.String(), &tls.Config{RootCAs: g.roots(), ServerName: "crm.test", NextProtos: []string{"h2"}})
	must(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	must(t, fr.WriteSettings(settings...))
	return c, fr
}

func getH2(t *testing.T, fr *http2.Framer) { writeGet(t, fr, 1) }

func writeGet(t *testing.T, fr *http2.Framer, id uint32) {
	t.Helper()
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "crm.test"}, {":path", "/"}} {
		must(t, enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}))
	}
	must(t, fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: b.Bytes(), EndStream: true, EndHeaders: true}))
}
