package strictjson

import (
	"unicode/utf16"
	"unicode/utf8"
)

// str reads a string (RFC 8259, section 7) from its opening quote and unescapes it.
func (w *walker) str() (text string, escaped bool, err error) {
	w.pos++
	start := w.pos
	for w.pos < len(w.text) {
		switch c := w.text[w.pos]; {
		case c == '"':
			w.pos++
			return w.text[start : w.pos-1], false, nil
		case c == '\\':
			text, err = w.unescape(start)
			return text, true, err
		case c < 0x20:
			return "", false, w.fail(Syntax)
		}
		w.pos++
	}
	return "", false, w.fail(Syntax)
}

// unescape goes on with a string that began at start, from its first backslash.
func (w *walker) unescape(start int) (string, error) {
	out := append(make([]byte, 0, 2*(w.pos-start)+16), w.text[start:w.pos]...)
	for w.pos < len(w.text) {
		c := w.text[w.pos]
		switch {
		case c == '"':
			w.pos++
			return string(out), nil
		case c < 0x20:
			return "", w.fail(Syntax)
		case c != '\\':
			out = append(out, c)
			w.pos++
			continue
		}
		w.pos++
		switch c = w.peek(); c {
		case '"', '\\', '/':
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, err := w.escapedRune()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
			continue
		default:
			return "", w.fail(Syntax)
		}
		w.pos++
		out = append(out, c)
	}
	return "", w.fail(Syntax)
}

// escapedRune reads uXXXX, and \uXXXX again where the first is a high surrogate.
func (w *walker) escapedRune() (rune, error) {
	r, ok := w.hex4()
	if !ok {
		return 0, w.fail(Syntax)
	}
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	// A lone surrogate becomes U+FFFD, '?', three bytes or an error, by the reader.
	if w.peek() != '\\' {
		return 0, w.fail(Encoding)
	}
	w.pos++
	if w.peek() != 'u' {
		return 0, w.fail(Encoding)
	}
	low, ok := w.hex4()
	if !ok {
		return 0, w.fail(Syntax)
	}
	pair := utf16.DecodeRune(r, low)
	if pair == utf8.RuneError {
		return 0, w.fail(Encoding)
	}
	return pair, nil
}

// hex4 reads a u and four hexadecimal digits.
func (w *walker) hex4() (r rune, ok bool) {
	if len(w.text)-w.pos < 5 {
		return 0, false
	}
	for _, c := range []byte(w.text[w.pos+1 : w.pos+5]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	w.pos += 5
	return r, true
}

// number reads a number (RFC 8259, section 6) and gives its literal.
func (w *walker) number() (string, error) {
	start := w.pos
	if w.peek() == '-' {
		w.pos++
	}
	if w.peek() == '0' {
		w.pos++ // no digit may follow: "01" is octal to some
	} else if !w.digits() {
		return "", w.fail(Syntax)
	}
	if w.peek() == '.' {
		w.pos++
		if !w.digits() {
			return "", w.fail(Syntax)
		}
	}
	if c := w.peek(); c == 'e' || c == 'E' {
		w.pos++
		if c := w.peek(); c == '+' || c == '-' {
			w.pos++
		}
		if !w.digits() {
			return "", w.fail(Syntax)
		}
	}
	if w.pos-start > MaxNumber {
		return "", w.fail(TooLong)
	}
	return w.text[start:w.pos], nil
}

// digits steps over one or more digits.
func (w *walker) digits() bool {
	start := w.pos
	for c := w.peek(); '0' <= c && c <= '9'; c = w.peek() {
		w.pos++
	}
	return w.pos > start
}
