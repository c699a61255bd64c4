package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestABodyIsPresentByTheFramingOfEitherProtocol(t *testing.T) {
	got := make(chan bool, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- hasBody(r) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	old := server.Client().Transport.(*http.Transport).Clone()
	old.Protocols = new(http.Protocols)
	old.Protocols.SetHTTP1(true)
	old.TLSClientConfig.NextProtos = nil
	t.Cleanup(old.CloseIdleConnections)
	for protocol, client := range map[string]*http.Client{"HTTP/2.0": server.Client(), "HTTP/1.1": {Transport: old}} {
		for _, c := range []struct {
			name, method string
			body         io.Reader
			want         bool
		}{
			{"a GET", "GET", nil, false},
			{"a POST without anything", "POST", nil, false},
			{"a POST of an empty text", "POST", strings.NewReader(""), false},
			{"a POST", "POST", strings.NewReader("x"), true},
			{"a POST of unknown length", "POST", io.MultiReader(strings.NewReader("x")), true},
			{"a GET with a body", "GET", strings.NewReader("x"), true},
		} {
			req, err := http.NewRequestWithContext(t.Context(), c.method, server.URL, c.body)
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if there := <-got; there != c.want || res.Proto != protocol {
				t.Errorf("%s by %s (want %s): %v, want %v", c.name, res.Proto, protocol, there, c.want)
			}
		}
	}
}
