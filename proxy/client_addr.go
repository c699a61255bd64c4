package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// maxForwarded bounds X-Forwarded-For: bytes over all its lines.
const maxForwarded = 4 << 10

var errForwarded = errors.New("X-Forwarded-For of a trusted proxy cannot be read")

// clientAddr finds out who is calling. The socket's address counts, unless it is a
// configured proxy's: then the right-most address in X-Forwarded-For that is no configured
// proxy. From anybody else the header is not even looked at (CVE-2024-47070 is what
// happens when an odd value of it decides anything). It refuses what it cannot parse.
func clientAddr(die access.Die, trusted []netip.Prefix) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		peer, err := netip.ParseAddrPort(ex.Request.RemoteAddr)
		if err != nil {
			return unknownCaller("The address of the caller is unknown.", "", err)
		}
		peer = netip.AddrPortFrom(plainAddr(peer.Addr()), peer.Port())
		addr := peer.Addr()
		if isTrusted(trusted, addr) {
			if addr, err = forwarded(trusted, addr, ex.Request.Header["X-Forwarded-For"]); err != nil {
				return unknownCaller("A proxy in front of the gateway sent an X-Forwarded-For header that is not a list of addresses.",
					"Tell your administrator the request id.", err)
			}
		}
		ex.Client = access.Client{Addr: addr, Peer: peer}
		die.Press(ex)
		return nil
	}
}

// unknownCaller is counted, not audited one by one: it comes before any limit by address.
func unknownCaller(detail, remedy string, why error) *access.Refusal {
	refusal := access.Refuse(http.StatusBadRequest, "client_address", detail, remedy).Because(why)
	refusal.Counted = true
	return refusal
}

// forwarded walks the list from its right end, where our own proxies append.
func forwarded(trusted []netip.Prefix, last netip.Addr, lines []string) (netip.Addr, error) {
	size := 0
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		if size += len(rest); size > maxForwarded {
			return netip.Addr{}, fmt.Errorf("%w: more than %d bytes", errForwarded, maxForwarded)
		}
		for rest != "" {
			var element string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, element = rest[:comma], rest[comma+1:]
			} else {
				rest, element = "", rest
			}
			addr, err := parseForwarded(strings.Trim(element, " \t"))
			if err != nil {
				return netip.Addr{}, err
			}
			if last = addr; !isTrusted(trusted, addr) {
				return addr, nil
			}
		}
	}
	return last, nil
}

// parseForwarded reads one element: an address, which some proxies write with a port.
func parseForwarded(text string) (netip.Addr, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return plainAddr(addr), nil
	}
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return plainAddr(ap.Addr()), nil
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]")); err == nil {
			return plainAddr(addr), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%w: element of %d bytes is no address", errForwarded, len(text))
}

// plainAddr gives an address its one form: IPv4 not mapped into IPv6, and no zone.
func plainAddr(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

func isTrusted(trusted []netip.Prefix, addr netip.Addr) bool {
	for _, prefix := range trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
