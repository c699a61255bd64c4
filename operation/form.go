package operation

import (
	"errors"
	"strings"
)

// errForm is returned for a urlencoded body that readers take apart differently;
// errManyPairs for one of more pairs than values are kept.
var (
	errForm      = errors.New("malformed urlencoded form")
	errManyPairs = errors.New("too many form fields")
)

// splitForm reads an application/x-www-form-urlencoded body (WHATWG URL, section 5.1)
// and calls pair for each in order. Refused are a raw ";" (a separator to some), a "%" without
// two digits, NUL, and names that are not plain text: readers differ there.
func splitForm(body string, pair func(name, text string) error) error {
	n := 0
	for rest, more := body, true; more; {
		var raw string
		raw, rest, more = strings.Cut(rest, "&")
		if raw == "" {
			continue
		}
		if n++; n > maxValues {
			return errManyPairs
		}
		rawName, rawText, _ := strings.Cut(raw, "=")
		name, ok := formDecode(rawName)
		text, also := formDecode(rawText)
		if !ok || !also || name != "" && !validName(name) {
			return errForm
		}
		if err := pair(name, text); err != nil {
			return err
		}
	}
	return nil
}

func formDecode(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+;\x00") {
		return s, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case ';':
			return "", false
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return "", false
			}
			c = unHex(s[i+1])<<4 | unHex(s[i+2])
			i += 2
		}
		if c == 0 {
			return "", false
		}
		out = append(out, c)
	}
	return string(out), true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unHex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
