package operation

import "strings"

// opening looks for the first object or array of what may be a sequence of JSON values:
// a lenient reader goes on from 0{"tenant_id":"globex"} to the object. Scalars before it are
// skipped; anything else that comes first decides that the text is none. The zero value stands
// at the beginning.
type opening struct {
	text, escaped bool   // within a string; after a backslash there
	number        bool   // within a number
	word          string // what there is of true, false or null
}

// feed takes the next part. undecided means that nothing but scalars has come so far.
func (o *opening) feed(part []byte) (begins, undecided bool) {
	for _, c := range part {
		switch {
		case o.escaped:
			o.escaped = false
		case o.text:
			o.escaped, o.text = c == '\\', c != '"'
		case c == '{' || c == '[':
			return true, false
		case o.number && strings.IndexByte("0123456789+-.eE", c) >= 0:
		case c == '-' || '0' <= c && c <= '9':
			o.number, o.word = true, ""
		case 'a' <= c && c <= 'z':
			o.number = false
			if o.word == "true" || o.word == "false" || o.word == "null" {
				o.word = ""
			}
			if o.word += string(c); !strings.HasPrefix("true", o.word) && !strings.HasPrefix("false", o.word) && !strings.HasPrefix("null", o.word) {
				return false, false
			}
		case c == '"':
			o.text, o.number, o.word = true, false, ""
		case strings.IndexByte(" \t\r\n\v\f,\x00\x1e\xef\xbb\xbf\xfe\xff", c) >= 0: // marks of byte order, and RFC 7464's separator
			o.number, o.word = false, ""
		default:
			return false, false
		}
	}
	return false, true
}
