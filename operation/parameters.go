package operation

import (
	"errors"
	"strings"
)

// parameter is one name=value of a Content-Type or Content-Disposition.
type parameter struct {
	name  string // in lower case
	value string // without its quotes; backslashes as they stand
}

// errParameters is returned for a header that readers could take apart differently.
var errParameters = errors.New("not one value with plain parameters")

// splitParameters reads `value *( ";" name "=" ( token / quoted ) ) [ ";" ]` (RFC 9110,
// section 5.6.6) more narrowly than most readers, because they differ: white space stands only
// around ";", no parameter is empty but at the end, no name comes twice, and no backslash stands
// before a quotation mark, for some readers end the string there and some do not.
func splitParameters(s string) (value string, params []parameter, err error) {
	value, rest := token(strings.Trim(s, " \t"))
	if sub, ok := strings.CutPrefix(rest, "/"); ok && value != "" {
		var subtype string
		if subtype, rest = token(sub); subtype == "" {
			return "", nil, errParameters
		}
		value += "/" + subtype
	}
	if value == "" {
		return "", nil, errParameters
	}
	for rest != "" {
		var ok bool
		if rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t"), ";"); !ok {
			return "", nil, errParameters
		}
		if rest = strings.TrimLeft(rest, " \t"); rest == "" {
			break
		}
		var p parameter
		if p, rest, err = nextParameter(rest); err != nil {
			return "", nil, err
		}
		for _, q := range params {
			if q.name == p.name {
				return "", nil, errParameters
			}
		}
		params = append(params, p)
	}
	return strings.ToLower(value), params, nil
}

func nextParameter(s string) (p parameter, rest string, err error) {
	name, rest := token(s)
	rest, ok := strings.CutPrefix(rest, "=")
	if name == "" || !ok || rest == "" {
		return p, "", errParameters
	}
	p.name = strings.ToLower(name)
	if rest[0] != '"' {
		p.value, rest = token(rest)
		// A single quote opens a string in PHP and is a letter elsewhere.
		if p.value == "" || strings.Contains(p.value, "'") && !strings.HasSuffix(p.name, "*") {
			return p, "", errParameters
		}
		return p, rest, nil
	}
	end := strings.IndexByte(rest[1:], '"') + 1
	if end == 0 || rest[end-1] == '\\' {
		return p, "", errParameters
	}
	p.value = rest[1:end]
	for i := range len(p.value) {
		if c := p.value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return p, "", errParameters
		}
	}
	return p, rest[end+1:], nil
}

// token cuts off a token (RFC 9110, section 5.6.2).
func token(s string) (token, rest string) {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
