package outbound

import (
	"compress/gzip"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		name, addr string
		allow      []string
		want       bool
	}{
		{"a public address passes", "93.184.216.34", nil, true},
		{"a public IPv6 address passes", "2606:2800:220:1::1", nil, true},
		{"loopback is refused", "127.0.0.1", nil, false},
		{"any of 127/8 is refused", "127.8.9.1", nil, false},
		{"IPv6 loopback is refused", "::1", nil, false},
		{"IPv4-mapped loopback is refused", "::ffff:127.0.0.1", nil, false},
		{"IPv4-mapped private is refused", "::ffff:10.0.0.1", nil, false},
		{"private 10/8 is refused", "10.1.2.3", nil, false},
		{"private 172.16/12 is refused", "172.31.255.255", nil, false},
		{"private 192.168/16 is refused", "192.168.1.1", nil, false},
		{"unique local IPv6 is refused", "fd12::1", nil, false},
		{"link-local is refused", "169.254.1.1", nil, false},
		{"IPv6 link-local with a zone is refused", "fe80::1%eth0", nil, false},
		{"carrier-grade NAT is refused", "100.64.0.1", nil, false},
		{"this network is refused", "0.0.0.0", nil, false},
		{"0.1.2.3 is refused", "0.1.2.3", nil, false},
		{"multicast is refused", "224.0.0.251", nil, false},
		{"IPv6 multicast is refused", "ff02::1", nil, false},
		{"broadcast is refused", "255.255.255.255", nil, false},
		{"reserved is refused", "240.0.0.1", nil, false},
		{"unspecified IPv6 is refused", "::", nil, false},
		{"IPv4-compatible IPv6 is refused", "::7f00:1", nil, false},
		{"NAT64 of a private address is refused", "64:ff9b::a00:1", nil, false},
		{"6to4 of a private address is refused", "2002:a00:1::1", nil, false},
		{"Teredo is refused", "2001:0:1::1", nil, false},
		{"the metadata address is refused", "169.254.169.254", nil, false},
		{"the metadata address in a public range is refused", "168.63.129.16", nil, false},
		{"the IPv6 metadata address is refused", "fd00:ec2::254", nil, false},
		{"an allowed private address passes", "10.1.2.3", []string{"10.1.0.0/16"}, true},
		{"an allowed loopback address passes", "127.0.0.1", []string{"127.0.0.0/8"}, true},
		{"a mapped address is judged as the IPv4 it is", "::ffff:10.1.2.3", []string{"10.1.0.0/16"}, true},
		{"an address beside the allowed prefix is refused", "10.2.2.3", []string{"10.1.0.0/16"}, false},
		{"a wide prefix does not open the metadata address", "169.254.169.254", []string{"0.0.0.0/0"}, false},
		{"a prefix of the link-local range does not open it either", "169.254.169.254", []string{"169.254.0.0/16"}, false},
		{"its own prefix opens the metadata address", "169.254.169.254", []string{"169.254.169.254/32"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var allow []netip.Prefix
			for _, s := range c.allow {
				allow = append(allow, netip.MustParsePrefix(s))
			}
			err := newGuard(allow).check(netip.MustParseAddr(c.addr))
			if (err == nil) != c.want {
				t.Errorf("check(%s) = %v, want allowed %v", c.addr, err, c.want)
			}
			if err != nil && !errors.Is(err, ErrForbidden) {
				t.Errorf("%v does not wrap ErrForbidden", err)
			}
		})
	}
	if err := newGuard(nil).check(netip.Addr{}); err == nil {
		t.Error("the zero address passes")
	}
}

func loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// trusting makes a client that may call loopback and believes the test server.
func trusting(t *testing.T, s *httptest.Server, o Options) *http.Client {
	t.Helper()
	roots, err := Roots(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	if err != nil {
		t.Fatal(err)
	}
	o.Roots, o.Allow = roots, append(o.Allow, loopback()...)
	c := New(o)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestLoopbackIsReachedOnlyWhenAllowed(t *testing.T) {
	calls := 0
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { calls++; io.WriteString(w, "hello") }))
	defer s.Close()
	if _, err := get(t, New(Options{}), s.URL); !errors.Is(err, ErrForbidden) {
		t.Errorf("without an allow-list: %v, want ErrForbidden", err)
	}
	// A name that resolves to loopback is judged by what it resolves to.
	if _, err := get(t, New(Options{}), strings.Replace(s.URL, "127.0.0.1", "localhost", 1)); !errors.Is(err, ErrForbidden) {
		t.Errorf("by name: %v, want ErrForbidden", err)
	}
	if calls != 0 {
		t.Fatalf("the server was reached %d times", calls)
	}
	if got, err := get(t, trusting(t, s, Options{}), s.URL); got != "hello" || err != nil {
		t.Errorf("allowed: %q, %v", got, err)
	}
	if _, err := get(t, New(Options{Allow: loopback()}), s.URL); err == nil {
		t.Error("a certificate of an unknown authority was believed")
	}
}

func TestPlainHTTPGoesToAllowedLoopbackAlone(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "plain") }))
	defer s.Close()
	if _, err := get(t, New(Options{}), s.URL); !errors.Is(err, ErrForbidden) {
		t.Errorf("without an allow-list: %v", err)
	}
	if got, err := get(t, New(Options{Allow: loopback()}), s.URL); got != "plain" || err != nil {
		t.Errorf("allowed: %q, %v", got, err)
	}
	private := newGuard([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	if err := private.controlPlain("tcp", "10.0.0.1:80", nil); !errors.Is(err, ErrForbidden) {
		t.Errorf("plain http to an allowed private address: %v", err)
	}
	if err := private.control("tcp", "10.0.0.1:443", nil); err != nil {
		t.Errorf("https to an allowed private address: %v", err)
	}
	if err := private.control("tcp", "example.com:443", nil); !errors.Is(err, ErrForbidden) {
		t.Errorf("an unresolved name at the socket: %v", err)
	}
	for _, url := range []string{"ftp://127.0.0.1/x", "file:///etc/passwd", "https://u:p@127.0.0.1/"} {
		if _, err := get(t, New(Options{Allow: loopback()}), url); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v, want ErrForbidden", url, err)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/exact":
			io.WriteString(w, strings.Repeat("x", 100))
		case "/declared":
			io.WriteString(w, strings.Repeat("x", 101))
		case "/chunked":
			for range 11 {
				io.WriteString(w, strings.Repeat("x", 10))
				w.(http.Flusher).Flush()
			}
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			io.WriteString(z, strings.Repeat("x", 100_000))
			z.Close()
		}
	}))
	defer s.Close()
	c := trusting(t, s, Options{MaxBytes: 100})
	if got, err := get(t, c, s.URL+"/exact"); len(got) != 100 || err != nil {
		t.Errorf("a body of the very size: %d bytes, %v", len(got), err)
	}
	for _, path := range []string{"/declared", "/chunked", "/bomb"} {
		if got, err := get(t, c, s.URL+path); !errors.Is(err, ErrTooLarge) || len(got) > 100 {
			t.Errorf("%s: %d bytes, %v; want ErrTooLarge", path, len(got), err)
		}
	}
}

func TestReadingOnAfterTooLargeKeepsFailing(t *testing.T) {
	b := &cappedBody{ReadCloser: io.NopCloser(strings.NewReader("0123456789")), left: 4}
	if got, err := io.ReadAll(b); string(got) != "0123" || !errors.Is(err, ErrTooLarge) {
		t.Fatalf("got %q, %v", got, err)
	}
	if n, err := b.Read(make([]byte, 8)); n != 0 || !errors.Is(err, ErrTooLarge) {
		t.Errorf("after the error: %d, %v", n, err)
	}
}

func TestRedirects(t *testing.T) {
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other origin was called") }))
	defer other.Close()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/once":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/metadata":
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
		case "/clear":
			http.Redirect(w, r, strings.Replace(s.URL, "https:", "http:", 1), http.StatusFound)
		default:
			io.WriteString(w, "end")
		}
	})
	c := trusting(t, s, Options{Redirects: 99})
	if got, err := get(t, c, s.URL+"/once"); got != "end" || err != nil {
		t.Errorf("one redirect on the same origin: %q, %v", got, err)
	}
	for _, path := range []string{"/loop", "/away", "/metadata", "/clear"} {
		if _, err := get(t, c, s.URL+path); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v, want ErrForbidden", path, err)
		}
	}
	if _, err := get(t, trusting(t, s, Options{}), s.URL+"/once"); !errors.Is(err, ErrForbidden) {
		t.Errorf("no redirects allowed: %v, want ErrForbidden", err)
	}
}

func TestTimeoutBoundsTheWholeCall(t *testing.T) {
	hold := make(chan struct{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-hold
	}))
	defer s.Close()
	defer close(hold)
	_, err := get(t, trusting(t, s, Options{Timeout: 50 * time.Millisecond}), s.URL)
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("a body that never ends: %v, want a timeout", err)
	}
}

func TestEnvironmentProxyIsIgnored(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	tr := New(Options{}).Transport.(*transport)
	if tr.secure.Proxy != nil || tr.plain.Proxy != nil {
		t.Error("a proxy function is set")
	}
}

func TestRootsRefusesTextWithoutCertificate(t *testing.T) {
	if _, err := Roots([]byte("not a certificate")); err == nil {
		t.Error("it was accepted")
	}
}
