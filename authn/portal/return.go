package portal

import (
	"net/url"
	"path"
	"strings"
)

// MaxReturn is the longest way back, in bytes: it travels in a cookie.
const MaxReturn = 1024

// ReturnPath is the one judge of where a person may be sent after a login: it gives raw back when
// that is a path (with its query) on the same site and outside the prefix of our own addresses,
// and "/" otherwise. raw is the decoded parameter.
//
// Browsers read '\' as '/', drop tabs and line breaks, and take "//host" and "https:host" for
// another place (CVE-2020-5233, CVE-2020-11053, CVE-2020-4037), so whatever is
// not plainly a path is refused rather than repaired; what a second decoding would turn into such a
// thing is refused too.
func ReturnPath(raw, prefix string) string {
	if len(raw) > MaxReturn || !strings.HasPrefix(raw, "/") {
		return "/"
	}
	for _, c := range []byte(raw) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\\#\"<>`", c) >= 0 {
			return "/"
		}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "/"
	}
	decoded, _, _ := strings.Cut(raw, "?")
	for range 2 {
		if !plainPath(decoded, prefix) {
			return "/"
		}
		again, err := url.PathUnescape(decoded)
		if err != nil {
			break // a '%' that a first decoding left behind
		}
		decoded = again
	}
	if !plainPath(decoded, prefix) {
		return "/"
	}
	return raw
}

// plainPath accepts an absolute path without empty or dot segments, backslashes and control
// characters, outside the prefix.
func plainPath(p, prefix string) bool {
	if !strings.HasPrefix(p, "/") || strings.Contains(p, "//") || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return false
	}
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	p, prefix = strings.ToLower(path.Clean(p)), strings.ToLower(prefix)
	return prefix == "" || p != prefix && !strings.HasPrefix(p, prefix+"/")
}
