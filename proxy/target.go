package proxy

import (
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/access"
)

// Bounds of a request target, in bytes and pairs.
const (
	maxTarget     = 16 << 10
	maxPath       = 4 << 10
	maxQueryPairs = 512
)

// spelling is a set of odd spellings that a site allows on some paths.
type spelling uint8

const (
	allowSemicolon    spelling = 1 << iota // ";x" ends an element as a path parameter; decisions are made without it
	allowEncodedSlash                      // %2F is a character of an element, kept as "%2F" in the decoded path
)

// exceptions tells which odd spellings a decoded path may use.
type exceptions func(path string) spelling

// readTarget gives a raw request target (RFC 9112, section 3.2.1) its one reading, or
// refuses it. Only the origin form is a target of ours.
func readTarget(raw string, allowed exceptions) (access.Target, error) {
	switch {
	case len(raw) > maxTarget:
		refusal := malformed("target_too_long", "The address of the request is too long.")
		refusal.Status = 414
		return access.Target{}, refusal
	case raw == "" || raw[0] != '/':
		return access.Target{}, malformed("target_form", "The address of the request is not a path.")
	}
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c >= 0x7f || c == '#' || c == '\\' {
			return access.Target{}, malformed("target_character", "The address of the request holds a character that must be percent-encoded.")
		}
	}
	rawPath, rawQuery, _ := strings.Cut(raw, "?")
	path, used, refusal := readPath(rawPath)
	if refusal != nil {
		return access.Target{}, refusal
	}
	if used != 0 && used&^allowed(path) != 0 {
		return access.Target{}, malformed("path_ambiguous", "The path of the request can be read in more than one way.")
	}
	query, refusal := readQuery(rawQuery)
	if refusal != nil {
		return access.Target{}, refusal
	}
	return access.Target{Raw: raw, Path: path, RawQuery: rawQuery, Query: query}, nil
}

// readPath decodes a path once. It refuses what backends are known to read differently:
// dot elements, empty elements, backslashes, NUL and controls, double encoding and bad UTF-8
// (CVE-2026-3872, CVE-2026-27587, GHSA-p224-6x5r-fjpm). Semicolons and encoded
// slashes are reported, for a site may allow them.
func readPath(raw string) (path string, used spelling, refusal *access.Refusal) {
	ambiguous := malformed("path_ambiguous", "The path of the request can be read in more than one way.")
	if len(raw) > maxPath {
		refusal := malformed("target_too_long", "The path of the request is too long.")
		refusal.Status = 414
		return "", 0, refusal
	}
	var b strings.Builder
	b.Grow(len(raw))
	var percents []int // where a literal '%' stands in the decoded path
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			decoded, ok := unhex(raw, i)
			if !ok {
				return "", 0, malformed("path_encoding", "The path of the request has a '%' that encodes nothing.")
			}
			i += 2
			switch {
			case decoded == '/':
				used |= allowEncodedSlash
				b.WriteString("%2F")
				continue
			case decoded == '%':
				percents = append(percents, b.Len())
			case decoded == '\\' || decoded < ' ' || decoded == 0x7f:
				return "", 0, ambiguous
			}
			c = decoded
		}
		if c == ';' {
			used |= allowSemicolon
		}
		b.WriteByte(c)
	}
	path = b.String()
	for _, at := range percents {
		if _, ok := unhex(path, at); ok {
			return "", 0, ambiguous // %252e: a second decoding would give another path
		}
	}
	if !utf8.ValidString(path) {
		return "", 0, malformed("path_encoding", "The path of the request is not UTF-8.")
	}
	elements := strings.Split(path[1:], "/")
	for i, element := range elements {
		stem, _, _ := strings.Cut(element, ";") // "..;" is ".." to Tomcat and its kin
		if stem == "" && i < len(elements)-1 {
			return "", 0, ambiguous
		}
		for piece := range strings.SplitSeq(stem, "%2F") { // dots beside an encoded slash climb where it is decoded
			if piece == "." || piece == ".." {
				return "", 0, ambiguous
			}
		}
		elements[i] = stem
	}
	if used&allowSemicolon != 0 {
		path = "/" + strings.Join(elements, "/")
	}
	return path, used, nil
}

// readQuery decodes the pairs of a query in their order. It refuses a raw ';' (a separator
// to some parsers, a character to others), '%' that encodes nothing, NUL, and too many pairs.
func readQuery(raw string) ([]access.Pair, *access.Refusal) {
	if raw == "" {
		return nil, nil
	}
	pairs := make([]access.Pair, 0, strings.Count(raw, "&")+1)
	for rest, more := raw, true; more; {
		var part string
		part, rest, more = strings.Cut(rest, "&")
		if part == "" {
			continue
		}
		if len(pairs) == maxQueryPairs {
			return nil, malformed("query_too_long", "The query of the request has too many parameters.")
		}
		if strings.IndexByte(part, ';') >= 0 {
			return nil, malformed("query_ambiguous", "The query of the request holds a ';', which must be percent-encoded.")
		}
		name, value, _ := strings.Cut(part, "=")
		n, okName := decodeQuery(name)
		v, okValue := decodeQuery(value)
		if !okName || !okValue {
			return nil, malformed("query_encoding", "The query of the request has a '%' that encodes nothing, or a NUL.")
		}
		pairs = append(pairs, access.Pair{Name: n, Value: v})
	}
	return pairs, nil
}

// decodeQuery decodes '+' and percent escapes; NUL and broken escapes are not ok.
func decodeQuery(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			b = append(b, ' ')
		case '%':
			decoded, ok := unhex(s, i)
			if !ok || decoded == 0 {
				return "", false
			}
			b = append(b, decoded)
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b), true
}

// unhex decodes the escape that begins at s[i], which is a '%'.
func unhex(s string, i int) (byte, bool) {
	if i+2 >= len(s) || !ishex(s[i+1]) || !ishex(s[i+2]) {
		return 0, false
	}
	return hexValue(s[i+1])<<4 | hexValue(s[i+2]), true
}

func ishex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func hexValue(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}
