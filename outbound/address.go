package outbound

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrForbidden is wrapped by the error of a call to an address, scheme or redirect
// that the guard refuses.
var ErrForbidden = errors.New("outbound call refused")

// special are the ranges that are not public unicast beyond what netip.Addr tells by
// itself: the IANA special-purpose registries (RFC 6890 and its updates), and the
// IPv6 ranges that embed an IPv4 address, which a gateway on the way would unwrap.
func special() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8",       // this network (RFC 791)
		"100.64.0.0/10",   // carrier-grade NAT (RFC 6598)
		"192.0.0.0/24",    // IETF protocols (RFC 6890)
		"192.0.2.0/24",    // documentation (RFC 5737)
		"192.88.99.0/24",  // 6to4 relays (RFC 7526)
		"198.18.0.0/15",   // benchmarks (RFC 2544)
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
		"240.0.0.0/4",     // reserved and broadcast (RFC 1112)
		"::/96",           // unspecified, loopback, IPv4-compatible (RFC 4291)
		"64:ff9b::/96",    // NAT64 (RFC 6052)
		"64:ff9b:1::/48",  // local NAT64 (RFC 8215)
		"100::/64",        // discard (RFC 6666)
		"2001::/23",       // IETF protocols, Teredo among them (RFC 2928)
		"2001:db8::/32",   // documentation (RFC 3849)
		"2002::/16",       // 6to4 (RFC 3056)
		"3fff::/20",       // documentation (RFC 9637)
		"5f00::/16",       // segment routing (RFC 9602)
		"fec0::/10",       // site-local (RFC 3879)
	} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// metadata are the addresses under which clouds hand credentials to whoever asks.
// Only a prefix of one single address opens them, never a wide one. The third
// lies in a public range.
func metadata() []netip.Addr {
	var list []netip.Addr
	for _, s := range []string{"169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"} {
		list = append(list, netip.MustParseAddr(s))
	}
	return list
}

// guard judges addresses.
type guard struct {
	allow    []netip.Prefix
	special  []netip.Prefix
	metadata []netip.Addr
}

func newGuard(allow []netip.Prefix) *guard {
	g := &guard{special: special(), metadata: metadata()}
	for _, p := range allow {
		if p.IsValid() {
			g.allow = append(g.allow, p.Masked())
		}
	}
	return g
}

// check refuses an address that is neither public unicast nor allowed. An invalid
// address is refused.
func (g *guard) check(addr netip.Addr) error {
	addr = addr.WithZone("").Unmap()
	if !addr.IsValid() {
		return fmt.Errorf("%w: no address", ErrForbidden)
	}
	for _, m := range g.metadata {
		if addr == m && !g.allows(addr, true) {
			return fmt.Errorf("%w: %s is a cloud metadata address", ErrForbidden, addr)
		}
	}
	if g.allows(addr, false) {
		return nil
	}
	forbidden := addr.IsLoopback() || addr.IsPrivate() || addr.IsMulticast() || addr.IsUnspecified() ||
		addr.IsLinkLocalUnicast() || !addr.IsGlobalUnicast()
	for _, p := range g.special {
		forbidden = forbidden || p.Contains(addr)
	}
	if forbidden {
		return fmt.Errorf("%w: %s is not a public address and the allow-list does not cover it", ErrForbidden, addr)
	}
	return nil
}

func (g *guard) allows(addr netip.Addr, exactly bool) bool {
	for _, p := range g.allow {
		if p.Contains(addr) && (!exactly || p.IsSingleIP()) {
			return true
		}
	}
	return false
}
