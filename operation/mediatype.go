package operation

import (
	"errors"
	"fmt"
	"strings"
)

// mediaType is a Content-Type in its one reading.
type mediaType struct {
	essence  string // "application/json", in lower case; "" for none
	boundary string // of multipart types
}

// The families of media types: how a body is judged.
type family uint8

const (
	opaque family = iota // no fields that we know; looked at for JSON in disguise
	jsonFamily
	formFamily
	multipartFamily
)

func (m mediaType) family() family {
	switch e := m.essence; {
	case isJSON(e):
		return jsonFamily
	case e == "application/x-www-form-urlencoded":
		return formFamily
	case e == "multipart/form-data":
		return multipartFamily
	}
	return opaque
}

// isJSON knows the registered name, RFC 6839's suffix, and names that frameworks take for it.
func isJSON(essence string) bool {
	switch essence {
	case "application/json", "text/json", "application/x-json", "text/x-json",
		"application/json-rpc", "application/jsonrequest":
		return true
	}
	return strings.HasSuffix(essence, "+json")
}

var (
	errContentType = errors.New("the Content-Type cannot be read in one way")
	errCharset     = errors.New("the charset is not one that we read")
)

// parseMediaType reads the Content-Type lines of a request. Errors wrap errContentType (400) or
// errCharset (415).
func parseMediaType(lines []string) (mediaType, error) {
	if len(lines) > 1 {
		return mediaType{}, fmt.Errorf("%w: it is given %d times", errContentType, len(lines))
	}
	if len(lines) == 0 || strings.Trim(lines[0], " \t") == "" {
		return mediaType{}, nil
	}
	value, params, err := splitParameters(lines[0])
	if err != nil || !strings.Contains(value, "/") {
		return mediaType{}, fmt.Errorf("%w: want type/subtype with plain parameters", errContentType)
	}
	m := mediaType{essence: value}
	multipart := strings.HasPrefix(value, "multipart/")
	for _, p := range params {
		switch {
		case strings.ContainsAny(p.value, `\`) || strings.Contains(p.name, "*"):
			return mediaType{}, fmt.Errorf("%w: an escaped parameter", errContentType)
		case p.name == "charset":
			if !charsetAllowed(m.family(), p.value) {
				return mediaType{}, errCharset
			}
		case p.name == "boundary" && multipart:
			m.boundary = p.value
		case multipart && value == "multipart/form-data":
			// PHP looks for the text "boundary" anywhere in the line.
			return mediaType{}, fmt.Errorf("%w: a parameter that multipart/form-data does not have", errContentType)
		}
	}
	if m.family() == multipartFamily && !validBoundary(m.boundary) {
		return mediaType{}, fmt.Errorf("%w: want a boundary of 1 to 70 plain characters (RFC 2046, section 5.1.1)", errContentType)
	}
	return m, nil
}

// charsetAllowed says whether we and the backend see the same ASCII in this charset: true
// of UTF-8 and of the one-byte charsets of ISO and Windows. Others hide text from whoever does not
// decode them (UTF-7, UTF-16, EBCDIC) or swallow the byte after a lead byte (Shift_JIS,
// GBK). JSON is UTF-8 (RFC 8259, section 8.1).
func charsetAllowed(f family, charset string) bool {
	charset = strings.ToLower(charset)
	switch charset {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return true
	case "latin1", "koi8-r", "koi8-u":
		return f != jsonFamily
	}
	for _, prefix := range []string{"iso-8859-", "windows-125", "cp125"} {
		if number, ok := strings.CutPrefix(charset, prefix); ok && f != jsonFamily {
			return number != "" && strings.Trim(number, "0123456789") == ""
		}
	}
	return false
}

// validBoundary allows what clients use and every reader takes for the same: RFC 2046's
// characters without space, comma, parentheses and single quote.
func validBoundary(b string) bool {
	if b == "" || len(b) > 70 {
		return false
	}
	for i := range len(b) {
		c := b[i]
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && strings.IndexByte("+_-./:=?", c) < 0 {
			return false
		}
	}
	return true
}
