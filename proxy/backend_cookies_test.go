package proxy

import (
	"bufio"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/secret"
)

func newCookies(cfg CookiesConfig) *backendCookies {
	s := &site{Site: access.Site{Name: "crm"}, cfg: SiteConfig{Cookies: cfg}}
	return newBackendCookies(s, nil, Rooms{Seal: secret.NewMasterKey().Sealer("test"), Jar: NewJar(0, 0), Meter: observe.Discard{}})
}

// browser keeps cookies by name, as a browser does for one path.
type browser struct {
	names  []string
	values map[string]string
}

func (b *browser) take(lines []string) {
	if b.values == nil {
		b.values = map[string]string{}
	}
	for _, line := range lines {
		c, ok := parseSetCookie(line, time.Now())
		if !ok {
			continue
		}
		b.names = slices.DeleteFunc(b.names, func(n string) bool { return n == c.name })
		delete(b.values, c.name)
		if !c.deleted {
			b.names = append(b.names, c.name)
			b.values[c.name] = c.value
		}
	}
}

func (b *browser) header() string {
	var parts []string
	for _, name := range b.names {
		parts = append(parts, name+"="+b.values[name])
	}
	return strings.Join(parts, "; ")
}

func as(id *access.Identity, class access.Class, cookie ...string) *access.Exchange {
	return &access.Exchange{Request: &http.Request{Header: http.Header{"Cookie": cookie}}, Identity: id, Route: access.Route{Class: class}}
}

func (c *backendCookies) set(id *access.Identity, class access.Class, lines ...string) []string {
	return c.toBrowser(&passage{ex: as(id, class)}, lines)
}

var cookieValues = []string{"x", "", `"quoted"`, `"a b"`, "YWJj==", "a=b=c", "a b", "a,b", "é", "\xff", "sp1.x", "{\"a\":1}", "%20", strings.Repeat("v", 3000), strings.Repeat("v", 3900)}

func TestACookieComesBackByteForByteInItsOwnSessionAlone(t *testing.T) {
	c := newCookies(CookiesConfig{})
	own := alice(t)
	change := func(f func(*access.Identity)) *access.Identity { id := alice(t); f(id); return id }
	strangers := map[string]*access.Identity{
		"another session":     change(func(id *access.Identity) { id.SessionID, id.LoginID = "s2", "l2" }),
		"another user":        change(func(id *access.Identity) { id.Subject = "u2" }),
		"another tenant":      change(func(id *access.Identity) { id.Tenant = tenantID(t, "globex") }),
		"nobody":              nil,
		"no session":          change(func(id *access.Identity) { id.SessionID = "" }),
		"a joined look-alike": change(func(id *access.Identity) { id.Subject, id.SessionID = "u1s", "1" }),
	}
	for _, flags := range []string{"; HttpOnly", ""} {
		for _, value := range cookieValues {
			var b browser
			b.take(c.set(own, access.App, "sid="+value+"; Path=/"+flags))
			if got := c.toBackend(as(own, access.App, b.header())); got != "sid="+value {
				t.Errorf("%q%s came back as %q", value, flags, got)
			}
			if flags != "" && len(value) > 1 && strings.Contains(b.header(), value) {
				t.Errorf("%q is HttpOnly and stands in the browser in clear", value)
			}
			if flags == "" && !strings.Contains(b.header(), "sid="+value) {
				t.Errorf("a script cannot read %q in %q", value, b.header())
			}
			if len(b.values["sid"]) > 4000 {
				t.Errorf("a value of %d bytes does not fit a browser", len(b.values["sid"]))
			}
			for name, id := range strangers {
				if got := c.toBackend(as(id, access.App, b.header())); got != "" {
					t.Errorf("%s gets %q", name, got)
				}
			}
			if got := c.toBackend(as(own, access.Public, b.header())); got != "" {
				t.Errorf("a public request sends %q", got)
			}
			renewed := alice(t) // the session goes on under the next token
			if got := c.toBackend(as(renewed, access.App, b.header())); got != "sid="+value {
				t.Errorf("after a renewal %q came back as %q", value, got)
			}
			other := *c
			other.site = "shop"
			if got := other.toBackend(as(own, access.App, b.header())); got != "" {
				t.Errorf("another site gets %q", got)
			}
		}
	}
}

func TestWhatABrowserMakesUpIsDropped(t *testing.T) {
	c := newCookies(CookiesConfig{Script: []string{"theme"}, Prelogin: []string{"lang"}})
	own := alice(t)
	var b browser
	b.take(c.set(own, access.App, "sid=secret; HttpOnly", "csrf=token"))
	sealed, companion := b.values["sid"], b.values[companionPrefix+"csrf"]
	for name, cookie := range map[string]string{
		"plain from before the login":  "sid=secret",
		"sealed under another name":    "admin=" + sealed,
		"sealed and cut":               "sid=" + sealed[:len(sealed)-1],
		"sealed and changed":           "sid=" + sealed[:9] + flip(sealed[9:10]) + sealed[10:],
		"a ticket of a sealed value":   "sid=" + ticketMark + sealed[len(sealedMark):],
		"a companion's box as a value": "csrf=" + sealedMark + companion,
		"a changed token":              "csrf=other; " + companionPrefix + "csrf=" + companion,
		"another cookie's companion":   "xsrf=token; " + companionPrefix + "xsrf=" + companion,
		"a companion alone":            companionPrefix + "csrf=" + companion,
		"our own cookies":              "__Host-sallyport-session=x; __host-SALLYPORT-refresh=y; __Secure-x=z",
		"no pair at all":               "; ;=x;y; \x01=\x02",
	} {
		if got := c.toBackend(as(own, access.App, cookie)); got != "" {
			t.Errorf("%s: the backend gets %q", name, got)
		}
	}
	got := c.toBackend(as(own, access.App, "theme=dark; sid="+sealed+";lang=de ; x=y", "csrf=old; csrf=token; "+companionPrefix+"csrf=bad; "+companionPrefix+"csrf="+companion+"; theme=light"))
	if want := "theme=dark; sid=secret; lang=de; csrf=token; theme=light"; got != want {
		t.Errorf("the backend gets %q, want %q in the browser's order", got, want)
	}
	many := strings.Repeat("theme=x; ", 5000)
	if got := c.toBackend(as(own, access.App, many)); strings.Count(got, "theme") != maxCookies {
		t.Errorf("%d cookies pass, want %d", strings.Count(got, "theme"), maxCookies)
	}
}

func flip(s string) string {
	if s == "A" {
		return "B"
	}
	return "A"
}

func TestAttributesOfCookies(t *testing.T) {
	c := newCookies(CookiesConfig{Script: []string{"theme"}})
	own := alice(t)
	for _, x := range []struct{ name, line, want string }{
		{"defaults are added", "theme=a", "theme=a; Secure; SameSite=Lax"},
		{"path and expiry are kept", "theme=a; path=/crm; Expires=Wed, 21 Oct 2099 07:28:00 GMT; Max-Age=60; Partitioned", "theme=a; path=/crm; Expires=Wed, 21 Oct 2099 07:28:00 GMT; Max-Age=60; Partitioned; Secure; SameSite=Lax"},
		{"the domain goes", "theme=a; Domain=.crm.test; DOMAIN=x; Path=/", "theme=a; Path=/; Secure; SameSite=Lax"},
		{"the application's SameSite counts", "theme=a; samesite=none; secure; HTTPONLY", "theme=a; HttpOnly; Secure; SameSite=None"},
		{"but not a made-up one", "theme=a; SameSite=Whatever", "theme=a; Secure; SameSite=Lax"},
	} {
		if got := c.set(own, access.App, x.line); !slices.Equal(got, []string{x.want}) {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
	for name, line := range map[string]string{"ours": "__Host-sallyport-session=evil; Path=/; Secure", "ours in capitals": "__HOST-SALLYPORT-x=y", "a companion": companionPrefix + "csrf=x",
		"no name": "=x", "no value": "x", "a control character": "a=\x01", "a name of two": "a b=c"} {
		if got := c.set(own, access.App, line); len(got) != 0 {
			t.Errorf("%s is set: %q", name, got)
		}
	}
	if got := c.set(own, access.Public, "theme=a"); len(got) != 0 {
		t.Errorf("a public answer sets %q", got)
	}
	if got := c.set(nil, access.App, "sid=a"); len(got) != 0 {
		t.Errorf("without a session %q is set", got)
	}
}

func TestDeletionTakesTheCompanionAlong(t *testing.T) {
	c := newCookies(CookiesConfig{})
	own := alice(t)
	for _, deletion := range []string{"x=; Max-Age=0", "x=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0", "x=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "x=gone; expires=Thu, 01-Jan-1970 00:00:01 GMT", "x=; max-age=-1; HttpOnly"} {
		for _, flags := range []string{"", "; HttpOnly"} {
			var b browser
			b.take(c.set(own, access.App, "x=1"+flags))
			if len(b.names) == 0 {
				t.Fatal("nothing was set")
			}
			b.take(c.set(own, access.App, deletion))
			if len(b.names) != 0 {
				t.Errorf("%q leaves %q", deletion, b.names)
			}
		}
	}
	var b browser
	b.take(c.set(own, access.App, "x=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60"))
	if len(b.names) != 2 {
		t.Error("Max-Age counts before Expires")
	}
}

func TestABigCookieIsForgottenAtLogout(t *testing.T) {
	c := newCookies(CookiesConfig{})
	own, value := alice(t), strings.Repeat("v", 10_000)
	var b browser
	b.take(c.set(own, access.App, "sid="+value+"; HttpOnly"))
	if !strings.HasPrefix(b.values["sid"], ticketMark) || len(b.values["sid"]) > 300 {
		t.Fatalf("the browser holds %d bytes", len(b.values["sid"]))
	}
	if got := c.toBackend(as(own, access.App, b.header())); got != "sid="+value {
		t.Errorf("%d bytes came back", len(got))
	}
	c.jar.Forget("l1")
	if got := c.toBackend(as(own, access.App, b.header())); got != "" {
		t.Errorf("after the logout %d bytes came back", len(got))
	}
	if got := c.set(own, access.App, "sid="+strings.Repeat("v", int(DefaultJarPerLogin))+"; HttpOnly"); len(got) != 0 {
		t.Error("a cookie larger than a login's share is set")
	}
}

func TestCookiesThroughAWholeExchange(t *testing.T) {
	cookies := make(chan string, 1)
	addr := socket(t, func(conn net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		cookies <- r.Header.Get("Cookie")
		conn.Write([]byte("HTTP/1.1 200 OK\r\nSet-Cookie: sid=\"a b\"; HttpOnly\r\nSet-Cookie: csrf=YQ==\r\nSet-Cookie2: x=y\r\nContent-Length: 0\r\n\r\n"))
	})
	who := alice(t)
	f := newFront(t, SiteConfig{Upstreams: []string{addr}}, func(ex *access.Exchange) { ex.Identity = who })
	var b browser
	b.take(f.ask(t, getRoot).Header["Set-Cookie"])
	<-cookies
	send := func() string {
		f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\nCookie: __Host-sallyport-session=ours; "+b.header()+"\r\n\r\n")
		return <-cookies
	}
	if got := send(); got != `sid="a b"; csrf=YQ==` {
		t.Errorf("the backend gets %q", got)
	}
	who = alice(t)
	who.Subject, who.SessionID, who.LoginID = "u2", "s2", "l2"
	if got := send(); got != "" {
		t.Errorf("under another user the backend gets %q", got)
	}
}

func FuzzCookieRoundTrip(f *testing.F) {
	for _, v := range cookieValues {
		f.Add("sid", v, true)
		f.Add("a[b]", v, false)
	}
	f.Add("sid", "a\tb", false)
	c := newCookies(CookiesConfig{})
	f.Fuzz(func(t *testing.T, name, value string, httpOnly bool) {
		line := name + "=" + value
		if httpOnly {
			line += "; HttpOnly"
		}
		set, ok := parseSetCookie(line, time.Now())
		lines := c.set(alice(t), access.App, line)
		for _, l := range lines {
			if strings.ContainsAny(l, "\r\n\x00") {
				t.Fatalf("%q gives the line %q", line, l)
			}
		}
		if !ok || ownCookie(set.name) || len(lines) == 0 || set.deleted {
			return
		}
		var b browser
		b.take(lines)
		if got, want := c.toBackend(as(alice(t), access.App, b.header())), set.name+"="+set.value; got != want {
			t.Errorf("%q came back as %q, want %q", line, got, want)
		}
		if got := c.toBackend(as(nil, access.App, b.header())); got != "" {
			t.Errorf("nobody gets %q", got)
		}
	})
}

func FuzzCookieHeader(f *testing.F) {
	f.Add("a=b; c=d")
	f.Add(companionPrefix + "a=sp1.AAAA; a=sp1.; b=sp2.x")
	c := newCookies(CookiesConfig{Script: []string{"theme"}})
	f.Fuzz(func(t *testing.T, header string) {
		got := c.toBackend(as(alice(t), access.App, header))
		for part := range strings.SplitSeq(got, "; ") {
			if part != "" && !strings.HasPrefix(part, "theme=") {
				t.Errorf("%q lets %q pass", header, part)
			}
		}
	})
}
