package edge

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestPort80(t *testing.T) {
	cfg := local(t)
	cfg.PublicPort = 443
	mapped := local(t)
	mapped.PublicPort = 8443
	gates := map[int]*gate{443: start(t, cfg, deps("crm.test", "127.0.0.1", "::1")), 8443: start(t, mapped, deps("crm.test"))}
	for _, c := range []struct {
		name     string
		port     int
		raw      string // request line and headers
		status   int
		location string
	}{
		{"GET", 443, "GET /a?b=c%20d&e HTTP/1.1\r\nHost: crm.test", 308, "https://crm.test/a?b=c%20d&e"},
		{"HEAD", 443, "HEAD / HTTP/1.1\r\nHost: crm.test", 308, "https://crm.test/"},
		{"HTTP/1.0", 443, "GET / HTTP/1.0\r\nHost: crm.test", 308, "https://crm.test/"},
		{"the host in another case and with a port", 443, "GET / HTTP/1.1\r\nHost: CRM.test:80", 308, "https://crm.test/"},
		{"an address", 443, "GET / HTTP/1.1\r\nHost: 127.0.0.1", 308, "https://127.0.0.1/"},
		{"an IPv6 address", 443, "GET / HTTP/1.1\r\nHost: [0:0:0:0:0:0:0:1]:80", 308, "https://[::1]/"},
		{"another public port", 8443, "GET / HTTP/1.1\r\nHost: crm.test", 308, "https://crm.test:8443/"},
		{"two slashes stay behind our host", 443, "GET //evil.test/ HTTP/1.1\r\nHost: crm.test", 308, "https://crm.test//evil.test/"},
		{"an at sign stays behind our host", 443, "GET /@evil.test HTTP/1.1\r\nHost: crm.test", 308, "https://crm.test/@evil.test"},
		{"POST", 443, "POST / HTTP/1.1\r\nHost: crm.test\r\nContent-Length: 0", 403, ""},
		{"POST with a body", 443, "POST /login HTTP/1.1\r\nHost: crm.test\r\nContent-Length: 8\r\n\r\npassword", 403, ""},
		{"PUT", 443, "PUT / HTTP/1.1\r\nHost: crm.test\r\nContent-Length: 0", 403, ""},
		{"DELETE", 443, "DELETE / HTTP/1.1\r\nHost: crm.test", 403, ""},
		{"OPTIONS", 443, "OPTIONS / HTTP/1.1\r\nHost: crm.test", 403, ""},
		{"OPTIONS of the server", 443, "OPTIONS * HTTP/1.1\r\nHost: crm.test", 403, ""},
		{"an unknown method", 443, "FROB / HTTP/1.1\r\nHost: crm.test", 403, ""},
		{"CONNECT", 443, "CONNECT crm.test:443 HTTP/1.1\r\nHost: crm.test", 403, ""},
		{"an upgrade to TLS", 443, "POST / HTTP/1.1\r\nHost: crm.test\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade", 403, ""},
		{"an unknown host", 443, "GET / HTTP/1.1\r\nHost: evil.test", 421, ""},
		{"an unknown host that ends like ours", 443, "GET / HTTP/1.1\r\nHost: evilcrm.test", 421, ""},
		{"POST to an unknown host", 443, "POST / HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 0", 421, ""},
		{"the absolute form of another host", 443, "GET http://evil.test/ HTTP/1.1\r\nHost: crm.test", 421, ""},
		{"the absolute form of our host", 443, "GET http://crm.test/ HTTP/1.1\r\nHost: crm.test", 400, ""},
		{"no host", 443, "GET / HTTP/1.0", 400, ""},
		{"an empty host", 443, "GET / HTTP/1.1\r\nHost:", 400, ""},
		{"two hosts", 443, "GET / HTTP/1.1\r\nHost: crm.test\r\nHost: evil.test", 400, ""},
		{"user information in the host", 443, "GET / HTTP/1.1\r\nHost: crm.test@evil.test", 400, ""},
		{"a trailing dot", 443, "GET / HTTP/1.1\r\nHost: crm.test.", 400, ""},
		{"a path in the host", 443, "GET / HTTP/1.1\r\nHost: crm.test/evil", 400, ""},
		{"an X-Forwarded-Host", 443, "GET / HTTP/1.1\r\nHost: crm.test\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Proto: https", 308, "https://crm.test/"},
		{"bytes that are not ASCII", 443, "GET /\xff HTTP/1.1\r\nHost: crm.test", 400, ""},
		{"a backslash", 443, "GET /\\evil.test HTTP/1.1\r\nHost: crm.test", 400, ""},
		{"a challenge while there is no ACME", 443, "GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: crm.test", 308, "https://crm.test/.well-known/acme-challenge/x"},
		{"a head that is too large", 443, "GET / HTTP/1.1\r\nHost: crm.test\r\nX: " + strings.Repeat("x", 20<<10), 431, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", gates[c.port].Addrs().HTTP.String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			raw := c.raw
			if !strings.Contains(raw, "\r\n\r\n") {
				raw += "\r\n\r\n"
			}
			fmt.Fprint(conn, raw)
			method, _, _ := strings.Cut(c.raw, " ")
			resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != c.status || resp.Header.Get("Location") != c.location {
				t.Errorf("%d to %q, want %d to %q", resp.StatusCode, resp.Header.Get("Location"), c.status, c.location)
			}
			if !resp.Close {
				t.Error("the connection is kept")
			}
		})
	}
	if n := gates[443].meter.get("sallyport_edge_plain_requests_total 403"); n < 5 {
		t.Errorf("%v requests are counted as refused", n)
	}
}

func TestPort80CanBeOff(t *testing.T) {
	cfg := local(t)
	cfg.HTTP = Off
	if g := start(t, cfg, deps("crm.test")); g.Addrs().HTTP.IsValid() {
		t.Error("it listens")
	}
}

func TestChallengesAreAnsweredByGETAlone(t *testing.T) {
	p := &plain{hosts: func() *hostSet { return newHostSet([]string{"crm.test"}) }, port: func() int { return 443 },
		challenge: func(w http.ResponseWriter, _ *http.Request) bool { io.WriteString(w, "token"); return true }, requests: row{&meter{rows: map[string]float64{}}, "x"}}
	for method, want := range map[string]int{"GET": 200, "POST": 403} {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(method, "http://crm.test/.well-known/acme-challenge/x", nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", method, w.Code, want)
		}
	}
}

func TestParseHost(t *testing.T) {
	for _, c := range []struct {
		in, want string
		ok       bool
	}{
		{"crm.test", "crm.test", true}, {"CRM.Test:8080", "crm.test", true}, {"a_b.test", "a_b.test", true}, {"localhost", "localhost", true},
		{"127.0.0.1", "127.0.0.1", true}, {"127.0.0.1:80", "127.0.0.1", true},
		{"[::1]", "::1", true}, {"[2001:DB8::0]:443", "2001:db8::", true},
		{"", "", false}, {":80", "", false}, {"crm.test:", "", false}, {"crm.test:0", "", false}, {"crm.test:65536", "", false}, {"crm.test:80:80", "", false},
		{"crm.test:+80", "", false}, {"crm.test.", "", false}, {".crm.test", "", false}, {"crm..test", "", false}, {"-crm.test", "", false},
		{"crm.test ", "", false}, {"crm.test\t", "", false}, {"crm.test\x00", "", false}, {"crm\u3002test", "", false}, {"*.test", "", false},
		{"user@crm.test", "", false}, {"crm.test/x", "", false}, {"crm.test?x", "", false}, {"crm.test#x", "", false}, {"%63rm.test", "", false},
		{"::1", "", false}, {"[::1", "", false}, {"::1]", "", false}, {"[fe80::1%25eth0]", "", false}, {"[crm.test]", "", false}, {"[127.0.0.1]", "", false},
		{"[]", "", false}, {"[", "", false}, {"]", "", false}, {"[::1]x", "", false}, {"[::1]:x", "", false},
		{strings.Repeat("a", 64) + ".test", "", false}, {strings.Repeat("a.", 127) + "a", "", false},
	} {
		if got, ok := parseHost(c.in); ok != c.ok || ok && got != c.want {
			t.Errorf("parseHost(%q) = %q, %v; want %q, %v", c.in, got, ok, c.want, c.ok)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"crm.test", "CRM.test:80", "[::1]:443", "[", "]:", "a@b", "crm.test.", "::", "[::ffff:1.2.3.4]", "x:65536"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		host, ok := parseHost(in)
		if !ok {
			return
		}
		// What we take for the host, a browser takes for the host, and reading it again
		// changes nothing.
		u, err := url.Parse(secureURL(host, 443, "/path"))
		if err != nil || u.Hostname() != host || u.Path != "/path" || u.User != nil || u.Port() != "" {
			t.Fatalf("parseHost(%q) = %q, which is read as %v, %v", in, host, u, err)
		}
		again := host
		if strings.Contains(host, ":") {
			again = "[" + host + "]"
		}
		if h, ok := parseHost(again); !ok || h != host {
			t.Fatalf("parseHost(%q) = %q, and again %q, %v", in, host, h, ok)
		}
	})
}

func FuzzRedirect(f *testing.F) {
	f.Add("crm.test", "/a?b#c")
	f.Add("evil.test", "//evil.test/")
	f.Add("crm.test:80", "/\\evil")
	f.Add("crm.test", "http://evil.test/")
	f.Fuzz(func(t *testing.T, host, target string) {
		p := &plain{hosts: func() *hostSet { return newHostSet([]string{"crm.test"}) }, port: func() int { return 443 },
			requests: row{&meter{rows: map[string]float64{}}, "x"}}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, &http.Request{Method: "GET", Host: host, RequestURI: target, URL: &url.URL{Path: "/"}, Header: http.Header{}})
		location := w.Header().Get("Location")
		if (location != "") != (w.Code == 308) {
			t.Fatalf("%d with Location %q", w.Code, location)
		}
		if location == "" {
			return
		}
		if !strings.HasPrefix(location, "https://crm.test/") || location != "https://crm.test"+target {
			t.Fatalf("host %q and target %q lead to %q", host, target, location)
		}
	})
}
