package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
)

// canned answers like a backend, without one, so that only the proxy's own work is measured.
type canned struct{}

func (canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: 2, Request: r, Body: io.NopCloser(strings.NewReader("ok")),
		Header: http.Header{"Content-Type": {"application/json"}, "Server": {"x"}, "Content-Length": {"2"}, "Date": {"Sun, 22 Nov 2026 00:00:00 GMT"}}}, nil
}

func (canned) CloseIdleConnections() {}

// blank is a ResponseWriter that keeps nothing.
type blank struct{ h http.Header }

func (b *blank) Header() http.Header         { return b.h }
func (b *blank) Write(p []byte) (int, error) { return len(p), nil }
func (b *blank) WriteHeader(int)             {}

func browserRequest(b *testing.B) *http.Request {
	r := httptest.NewRequest("GET", "https://crm.test/api/contacts?q=1", nil)
	r.RequestURI = "/api/contacts?q=1"
	for name, value := range map[string]string{"User-Agent": "Mozilla/5.0", "Accept": "application/json", "Accept-Encoding": "gzip, br", "Accept-Language": "de",
		"Referer": "https://crm.test/", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"} {
		r.Header.Set(name, value)
	}
	return r.WithContext(b.Context())
}

// BenchmarkServe and BenchmarkPlainReverseProxy do the same work up to the transport: the
// difference is what identity, hygiene and the registry of streams cost.
func BenchmarkServe(b *testing.B) {
	f := newFront(b, SiteConfig{Upstreams: []string{"http://127.0.0.1:1"}}, nil)
	f.backends.bySite[&f.site.Site].transport = canned{}
	r, id := browserRequest(b), alice(b)
	b.ReportAllocs()
	for b.Loop() {
		ex := f.plan.mint.Receive(access.Exchange{Request: r, ID: "request-1", Received: time.Now(), Client: access.Client{Addr: netip.MustParseAddr("192.0.2.7")},
			Site: &f.site.Site, Target: access.Target{Raw: r.RequestURI}, Identity: id, Route: access.Route{Class: access.App, ReadOnly: true}})
		ex.Writer = &answer{ResponseWriter: &blank{http.Header{}}, ex: ex, harden: f.plan.harden}
		if err := f.backends.serve(ex); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlainReverseProxy(b *testing.B) {
	to := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	p := &httputil.ReverseProxy{Transport: canned{}, BufferPool: new(bufferPool), Rewrite: func(pr *httputil.ProxyRequest) {
		pr.SetURL(to)
		pr.SetXForwarded()
	}}
	r := browserRequest(b)
	b.ReportAllocs()
	for b.Loop() {
		p.ServeHTTP(&blank{http.Header{}}, r)
	}
}
