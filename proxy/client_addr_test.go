package proxy

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

func TestClientAddr(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string // "" is a refusal
	}{
		{"a stranger's header is not looked at", "192.0.2.7:1", []string{"198.51.100.1"}, "192.0.2.7"},
		{"nor an unreadable one", "192.0.2.7:1", []string{"a"}, "192.0.2.7"},
		{"a proxy's word counts", "10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"the right-most untrusted wins", "10.0.0.1:1", []string{"203.0.113.9, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"over several lines too", "10.0.0.1:1", []string{"203.0.113.9", "198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		{"a spoofed trusted address on the left does not help", "10.0.0.1:1", []string{"10.9.9.9, 198.51.100.1"}, "198.51.100.1"},
		{"all trusted: the left-most", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"without a header the proxy itself", "10.0.0.1:1", nil, "10.0.0.1"},
		{"with a port", "10.0.0.1:1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"IPv6 in brackets", "[fd00::1]:1", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"IPv4 mapped into IPv6 is IPv4", "[::ffff:10.0.0.1]:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"an unreadable element is refused", "10.0.0.1:1", []string{"198.51.100.1, unknown"}, ""},
		{"an empty element is refused", "10.0.0.1:1", []string{"198.51.100.1,"}, ""},
		{"ten kilobytes are refused", "10.0.0.1:1", []string{strings.Repeat("10.0.0.2,", 1200) + "10.0.0.2"}, ""},
		{"a peer that is no address is refused", "@", nil, ""},
	} {
		mint := access.NewMint()
		die := mint.Die("client_addr")
		ex := mint.Receive(access.Exchange{Request: &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}})
		err := clientAddr(die, trusted)(ex)
		if c.want == "" {
			if err == nil || die.On(ex) {
				t.Errorf("%s: passed as %v", c.name, ex.Client.Addr)
			}
			continue
		}
		if err != nil || ex.Client.Addr.String() != c.want || !die.On(ex) {
			t.Errorf("%s: %v, %v; want %s", c.name, ex.Client.Addr, err, c.want)
		}
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add("198.51.100.1, 10.0.0.2")
	f.Add("[2001:db8::1]:80,::1%eth0")
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, line string) {
		addr, err := forwarded(trusted, netip.MustParseAddr("10.0.0.1"), []string{line})
		if err == nil && (!addr.IsValid() || addr.Zone() != "" || addr.Is4In6()) {
			t.Errorf("%q gives %v", line, addr)
		}
	})
}
