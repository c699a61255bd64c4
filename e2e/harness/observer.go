package harness

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// Arrival is a request as a backend gets it.
type Arrival struct {
	Method, Target string
	Header         http.Header
	Body           string
}

// Observer stands between the gateway and a backend and changes nothing: it tells what arrives.
type Observer struct {
	URL string

	mu   sync.Mutex
	seen []Arrival
}

// Observe starts an observer in front of a backend.
func Observe(t testing.TB, backend string) *Observer {
	t.Helper()
	to, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	o := &Observer{}
	forward := &httputil.ReverseProxy{FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		o.mu.Lock()
		o.seen = append(o.seen, Arrival{r.Method, r.RequestURI, r.Header.Clone(), string(body)})
		o.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	o.URL = server.URL
	return o
}

// Seen gives what has arrived since the last call.
func (o *Observer) Seen() []Arrival {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := o.seen
	o.seen = nil
	return seen
}
