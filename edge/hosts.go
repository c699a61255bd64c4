package edge

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// hostSet is the names of all sites, immutable. Unknown names get no handshake, no
// certificate and no redirect.
type hostSet struct {
	first string // for clients that send no name
	names map[string]bool
}

// newHostSet takes the names as the sites have them; the first one is the default.
func newHostSet(hosts []string) *hostSet {
	s := &hostSet{names: make(map[string]bool, len(hosts))}
	for _, h := range hosts {
		host, ok := parseHost(h)
		if !ok {
			host, ok = parseIPv6(h) // without brackets, as nobody writes it in a Host header
		}
		if !ok {
			continue // configs has refused it; a name that cannot be asked for needs nothing
		}
		if s.first == "" {
			s.first = host
		}
		s.names[host] = true
	}
	return s
}

func (s *hostSet) has(host string) bool { return s.names[host] }

// list is every name, sorted.
func (s *hostSet) list() []string {
	list := make([]string, 0, len(s.names))
	for h := range s.names {
		list = append(list, h)
	}
	slices.Sort(list)
	return list
}

// parseHost reads a Host header (RFC 9110, section 7.2): a name or an address, with or
// without a port. It gives the name in lower case, an IPv6 address without brackets and
// in its shortest form. What a browser, a backend and we could read in different ways
// is refused: user information, a trailing dot, an empty label, a zone, a bad port.
func parseHost(hostport string) (host string, ok bool) {
	if hostport == "" || len(hostport) > 300 {
		return "", false
	}
	host, port := hostport, ""
	if i := strings.LastIndexByte(hostport, ':'); i >= 0 && !strings.HasSuffix(hostport, "]") {
		var err error
		if host, port, err = net.SplitHostPort(hostport); err != nil || !validPort(port) {
			return "", false
		}
		if strings.Contains(host, ":") && hostport[0] != '[' {
			return "", false
		}
		if hostport[0] == '[' {
			return parseIPv6(host)
		}
	} else if hostport[0] == '[' && strings.HasSuffix(hostport, "]") {
		return parseIPv6(hostport[1 : len(hostport)-1])
	}
	host = strings.ToLower(host)
	return host, validName(host)
}

func parseIPv6(text string) (string, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", false
	}
	return addr.String(), true
}

func validPort(port string) bool {
	if port == "" || len(port) > 5 {
		return false
	}
	n := 0
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return false
		}
		n = n*10 + int(port[i]-'0')
	}
	return n > 0 && n <= 65535
}

// validName says that a lower-case text is a host name (RFC 1123, section 2.1, and the
// underscore that some intranets use) or an IPv4 address.
func validName(host string) bool {
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
