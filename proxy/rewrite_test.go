package proxy

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

// echoLine answers each request with its request line, as often as asked.
func echoLine(conn net.Conn) {
	r := textproto.NewReader(bufio.NewReader(conn))
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		if _, err := r.ReadMIMEHeader(); err != nil {
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(line), line)
	}
}

var oddTargets = []string{"/", "/?", "/a?", "/a??", "/?a=b&a=c", "/a%2fb", "/%7Bid%7D", "/{id}|x^y\"z", "/a?q={|}^\"`<>", "/a;b=c?d;e", "/%", "/a?%zz", "/a//b", "/a/./b/../c",
	"/?a=1&&b", "/a?b#", "/\xff\xfe?\x80", "/é?ü=ß", "/a+b?c+d=%20", "/*", "/http://evil.test/", "/:80", "/@", "/a?x=http://y/?z", "/%2e%2e", "/\\", "/'()!$&,=", "/a?[]=1"}

func TestTheTargetAtTheBackendIsTheClientsByteForByte(t *testing.T) {
	f := newFront(t, SiteConfig{Upstreams: []string{socket(t, echoLine)}}, nil)
	conn := f.raw(t, "")
	r := bufio.NewReader(conn)
	check := func(target string) {
		t.Helper()
		if !plainTarget(target) {
			return
		}
		f.exchange = func(ex *access.Exchange) { ex.Target.Raw = target }
		fmt.Fprint(conn, "GET /x HTTP/1.1\r\nHost: crm.test\r\n\r\n")
		if res := readAnswer(t, r); res.StatusCode != 200 {
			t.Fatalf("%q: %d", target, res.StatusCode)
		} else if got, want := text(t, res), "GET "+target+" HTTP/1.1"; got != want {
			t.Errorf("%q arrived as %q", target, got)
		}
	}
	for _, target := range oddTargets {
		check(target)
	}
	const alphabet = "abz019/?&=;%+{}|^\"`<>[]()*'!$,:@~._-\\\xc3\xbc\x80"
	for range 500 {
		b := []byte("/")
		for range rand.IntN(24) {
			b = append(b, alphabet[rand.IntN(len(alphabet))])
		}
		check(string(b))
	}
}

func FuzzTheTargetAtTheBackend(f *testing.F) {
	for _, target := range oddTargets {
		f.Add(target)
	}
	at := &siteBackend{}
	f.Fuzz(func(t *testing.T, raw string) {
		if !plainTarget(raw) {
			return
		}
		g := &passage{at: at, ex: &access.Exchange{Target: access.Target{Raw: raw}}, target: mustTarget(t)}
		out := &http.Request{Method: "GET", Host: "crm.test", Header: http.Header{}}
		g.address(out)
		var wire strings.Builder
		if err := out.Write(&wire); err != nil {
			if strings.ContainsFunc(raw, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				return
			}
			t.Fatalf("%q cannot be sent: %v", raw, err)
		}
		if line, _, _ := strings.Cut(wire.String(), "\r\n"); line != "GET "+raw+" HTTP/1.1" {
			t.Errorf("%q is sent as %q", raw, line)
		}
	})
}

func mustTarget(t testing.TB) *target {
	p, err := newPool([]string{"http://127.0.0.1:1"}, UpstreamConfig{MaxConns: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.targets[0]
}

func FuzzStripHeaders(f *testing.F) {
	for _, name := range []string{"X-Tenant-Id", "X_Tenant_Id", "x.tenant.id", "X-Forwarded-For", "X-Forwarded-" + strings.Repeat("a", 80), "Content_Type", "Content-Type", "Accept",
		"Cookie", "Authorization", "Proxy", "Remote_User", "", "\xff", "X-Tenant-Id-", strings.Repeat("X-Tenant-Id", 9)} {
		f.Add(name)
	}
	extra := protectedHeaders(SiteConfig{}.WithDefaults())
	f.Fuzz(func(t *testing.T, name string) {
		h := http.Header{name: {"x"}, "Accept": {"y"}}
		stripHeaders(h, extra)
		folded := access.FoldName(name)
		_, kept := h[name]
		if want := !extra[folded] && !universallyProtected(folded); kept && !want {
			t.Errorf("%q folds to a protected name and passes", name)
		}
		plain := !strings.ContainsFunc(name, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
		})
		if !kept && plain && !extra[folded] && !universallyProtected(folded) {
			t.Errorf("%q is nobody's name and was taken away", name)
		}
		if name != "Accept" && h["Accept"] == nil {
			t.Error("another header was taken away")
		}
	})
}

func TestCredentialsAreNeverOnTheListOfProtectedNames(t *testing.T) {
	cfg := SiteConfig{Headers: HeadersConfig{Protect: []string{"Authorization", "Cookie", "X-Mine"}},
		UpstreamAuth: &UpstreamAuth{Kind: "login", Login: &LoginConfig{Header: map[string]string{"Authorization": "x", "Cookie": "y", "X-Token": "z"}}}}.WithDefaults()
	names := protectedHeaders(cfg)
	if names["authorization"] || names["cookie"] {
		t.Error("the authenticate gate would never see a credential")
	}
	for _, name := range []string{"x-mine", "x-token", "x-tenant-id", "x-user-id", "x-user-email", "x-user-roles", "x-sallyport-assertion"} {
		if !names[name] {
			t.Errorf("%s is not protected", name)
		}
	}
	if names[""] {
		t.Error("the empty name is protected: a header field is not set")
	}
}
