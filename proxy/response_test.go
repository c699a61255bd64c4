package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/units"
)

// says is a backend that gives the same bytes to every request.
func says(t testing.TB, answer string) string {
	return socket(t, func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, answer)
	})
}

const getRoot = "GET / HTTP/1.1\r\nHost: crm.test\r\n\r\n"

func TestAnAnswerTellsNothingOfTheHouseBehind(t *testing.T) {
	f := newFront(t, SiteConfig{Upstreams: []string{says(t, "HTTP/1.1 200 OK\r\nServer: old/1\r\nX-Powered-By: PHP\r\nX-AspNet-Version: 4\r\nX-AspNetMvc-Version: 4\r\nX-Generator: x\r\n"+
		"Via: 1.1 inner\r\nAlt-Svc: h3=\":8443\"\r\nX-Runtime: 3\r\nX-Sallyport-Assertion: signed\r\nX-Tenant-ID: acme\r\nX_User_Id: u1\r\nX-Request-ID: theirs\r\n"+
		"WWW-Authenticate: Basic\r\nX-Mine: kept\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTrailer: X-Late\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n")}}, nil)
	res := f.ask(t, getRoot)
	if body := text(t, res); res.StatusCode != 200 || body != "ok" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	var got []string
	for name, values := range res.Header {
		got = append(got, name+": "+strings.Join(values, "|"))
	}
	slices.Sort(got)
	got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "Date: ") })
	want := []string{"Cache-Control: private", "Referrer-Policy: same-origin", "Strict-Transport-Security: max-age=31536000",
		"X-Content-Type-Options: nosniff", "X-Frame-Options: SAMEORIGIN", "X-Mine: kept", "X-Request-Id: request-1"}
	if !slices.Equal(got, want) || len(res.Trailer) != 0 {
		t.Errorf("got\n%s\nwith trailers %v, want\n%s", strings.Join(got, "\n"), res.Trailer, strings.Join(want, "\n"))
	}
}

func TestWhatTheApplicationSaysItselfCounts(t *testing.T) {
	f := newFront(t, SiteConfig{Upstreams: []string{says(t, "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=1\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n"+
		"X-Content-Type-Options: none\r\nCache-Control: public\r\nContent-Length: 0\r\n\r\n")}}, nil)
	h := f.ask(t, getRoot).Header
	for name, want := range map[string]string{"Strict-Transport-Security": "max-age=1", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "none", "Cache-Control": "public"} {
		if got := h[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestTheFileChangesTheHeadersOfAnswers(t *testing.T) {
	for _, c := range []struct {
		name     string
		cfg      ResponseConfig
		csp      string
		hsts, xf string
		referrer string
	}{
		{"nothing said", ResponseConfig{}, "", "max-age=31536000", "SAMEORIGIN", "same-origin"},
		{"all said", ResponseConfig{HSTS: units.Span(time.Hour), Frame: "deny", Referrer: "origin"}, "", "max-age=3600", "DENY", "origin"},
		{"frames off", ResponseConfig{Frame: "off"}, "", "max-age=31536000", "", "same-origin"},
		{"the application has a frame policy", ResponseConfig{}, "frame-ancestors https://partner.test", "max-age=31536000", "", "same-origin"},
	} {
		h := http.Header{}
		if c.csp != "" {
			h.Set("Content-Security-Policy", c.csp)
		}
		add := c.cfg.hardening()
		add.to(h)
		if h.Get("Strict-Transport-Security") != c.hsts || h.Get("X-Frame-Options") != c.xf || h.Get("Referrer-Policy") != c.referrer {
			t.Errorf("%s: %v", c.name, h)
		}
	}
}

func TestARedirectToTheBackendItselfLeadsToThePublicAddress(t *testing.T) {
	var location string
	addr := socket(t, func(conn net.Conn) {
		http.ReadRequest(bufio.NewReader(conn))
		fmt.Fprintf(conn, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", location)
	})
	f := newFront(t, SiteConfig{Upstreams: []string{addr, "https://inner.test"}}, nil)
	f.backends.bySite[&f.site.Site].pool.targets[1].sick.Store(true) // known, but never asked
	host := strings.TrimPrefix(addr, "http://")
	for _, c := range []struct{ said, want string }{
		{addr + "/a?b#c", "https://crm.test/a?b#c"},
		{addr, "https://crm.test"},
		{addr + "?x", "https://crm.test?x"},
		{"//" + host + "/a", "https://crm.test/a"},
		{"HTTPS://INNER.test:443/%7e{x}", "https://crm.test/%7e{x}"},
		{"https://inner.test:444/a", "https://inner.test:444/a"},
		{"https://inner.test.evil/a", "https://inner.test.evil/a"},
		{"http://crm.test/a", "https://crm.test/a"},
		{"https://partner.test/" + addr, "https://partner.test/" + addr},
		{"/a", "/a"},
		{"?next", "?next"},
	} {
		location = c.said
		if got := f.ask(t, getRoot).Header.Get("Location"); got != c.want {
			t.Errorf("%s leads to %s, want %s", c.said, got, c.want)
		}
	}
}

func TestEarlyHintsPassWithLinksAlone(t *testing.T) {
	f := newFront(t, SiteConfig{Upstreams: []string{says(t, "HTTP/1.1 102 Processing\r\nX-Odd: 1\r\n\r\n"+
		"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nSet-Cookie: a=b\r\nConnection: X-Hop\r\nX-Tenant-Id: acme\r\n\r\n"+
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")}}, nil)
	r := bufio.NewReader(f.raw(t, getRoot))
	hint, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if hint.StatusCode != 103 || len(hint.Header) != 1 || hint.Header.Get("Link") == "" {
		t.Errorf("first came %d with %v", hint.StatusCode, hint.Header)
	}
	if res := readAnswer(t, r); res.StatusCode != 200 || res.Header.Get("Link") != "" || res.Header.Get("X-Odd") != "" {
		t.Errorf("then came %d with %v", res.StatusCode, res.Header)
	}
}

func TestEveryAnswerOfOursBearsTheHeadersToo(t *testing.T) {
	f := newFront(t, SiteConfig{Upstreams: []string{says(t, "")}}, nil)
	h := http.Header{}
	f.plan.harden(&access.Exchange{ID: "r", Request: &http.Request{Header: http.Header{}}}, h) // refused before a site was known
	for _, name := range []string{"Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "X-Request-Id"} {
		if h.Get(name) == "" {
			t.Errorf("no %s", name)
		}
	}
}

func TestAnAnswerThatBreaksOffDoesNotLookWhole(t *testing.T) {
	f := newFront(t, SiteConfig{Upstreams: []string{says(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")}}, nil)
	res, err := http.ReadResponse(bufio.NewReader(f.raw(t, getRoot)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("the client got %q as a whole answer", b)
	}
	<-f.idle
	if n := f.backends.bySite[&f.site.Site].pool.targets[0].inFlight.Load(); n != 0 {
		t.Errorf("%d in flight after the panic", n)
	}
}
