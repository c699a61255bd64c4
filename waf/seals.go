package waf

import "strings"

// The cookies whose value is text that the gateway has sealed, signed or drawn itself:
// authn's sessions and login attempts by name, proxy's sealed and bound backend cookies by
// name or by how the value begins.
const (
	ownCookiePrefix  = "__Host-sallyport-"
	bindCookiePrefix = "sp-mac-"
	sealedValueMark  = "sp1."
)

// withoutSeals gives Cookie lines in which the values of such cookies are empty. They are
// random text of [A-Za-z0-9._-]: nothing that could leave a string or a command, but in one
// of about 10,000 the name of a system file occurs by chance (rule 930120), and its owner
// would be locked out until it changes. Whoever presents one that is not ours gets nowhere:
// it is opened or verified before anything is made of it. Names are still judged, and so is
// a value with any other character.
func withoutSeals(lines []string) []string {
	var changed []string
	for i, line := range lines {
		if !strings.Contains(line, ownCookiePrefix) && !strings.Contains(line, bindCookiePrefix) && !strings.Contains(line, sealedValueMark) {
			continue
		}
		pairs := strings.Split(line, ";")
		for j, pair := range pairs {
			name, value, _ := strings.Cut(pair, "=")
			if isSeal(strings.TrimSpace(name), value) {
				pairs[j] = name + "="
			}
		}
		if changed == nil {
			changed = append([]string(nil), lines...)
		}
		changed[i] = strings.Join(pairs, ";")
	}
	if changed == nil {
		return lines
	}
	return changed
}

func isSeal(name, value string) bool {
	if !strings.HasPrefix(name, ownCookiePrefix) && !strings.HasPrefix(name, bindCookiePrefix) && !strings.HasPrefix(value, sealedValueMark) {
		return false
	}
	for i := range len(value) {
		c := value[i]
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
