package operation

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// The bounds of a multipart body (RFC 7578).
const (
	maxPartHeader  = 8 << 10 // bytes of one part's headers
	maxPartHeaders = 16
	maxParts       = 5_000
)

// part is what the headers of one part say.
type part struct {
	name      string
	file      bool // it has a file name: its content is not a field
	mediaType string
}

// errMultipart is wrapped by everything that makes a multipart body malformed.
var errMultipart = errors.New("malformed multipart")

func badPart(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errMultipart}, args...)...)
}

// parsePart reads the header block of one part, without its closing empty line. Parsers
// of other languages differ in folded lines, repeated headers, escapes, extended and unquoted
// parameters, encoded words and transfer encodings; all of these are refused.
func parsePart(block []byte) (part, error) {
	var p part
	headers := map[string]string{}
	for line := range bytes.SplitSeq(block, []byte("\r\n")) {
		name, rest := token(string(line))
		value, ok := strings.CutPrefix(rest, ":")
		if name == "" || !ok || !plainText(value) {
			return p, badPart("a header line that is folded, has no name or holds control characters")
		}
		name = strings.ToLower(name)
		if _, twice := headers[name]; twice || len(headers) == maxPartHeaders {
			return p, badPart("a header given twice, or more than %d headers", maxPartHeaders)
		}
		headers[name] = strings.Trim(value, " \t")
	}
	switch strings.ToLower(headers["content-transfer-encoding"]) {
	case "", "7bit", "8bit", "binary":
	default:
		return p, badPart("a Content-Transfer-Encoding (deprecated by RFC 7578, section 4.7)")
	}
	if line, ok := headers["content-type"]; ok {
		value, params, err := splitParameters(line)
		if err != nil || !strings.Contains(value, "/") || strings.HasPrefix(value, "multipart/") {
			return p, badPart("a Content-Type that is not one plain type")
		}
		p.mediaType = value
		family := opaque
		if isJSON(value) {
			family = jsonFamily
		}
		for _, q := range params {
			if q.name == "charset" && !charsetAllowed(family, q.value) {
				return p, badPart("a charset that we do not read")
			}
		}
	}
	err := p.disposition(headers["content-disposition"])
	return p, err
}

func (p *part) disposition(line string) error {
	value, params, err := splitParameters(line)
	if err != nil || value != "form-data" {
		return badPart("want one Content-Disposition: form-data with plain parameters")
	}
	var named, extended bool
	for _, q := range params {
		switch q.name {
		case "name":
			p.name, named = q.value, true
		case "filename":
			// An empty one is what a browser sends for no file; some readers take
			// the part for a field then, so it is one.
			p.file = q.value != ""
			if smugglesParameter(q.value) {
				return badPart("a file name that looks like a parameter")
			}
		case "filename*":
			if extended = true; !validExtended(q.value) {
				return badPart("a filename* that not every reader decodes to a name")
			}
		default:
			return badPart("a parameter other than name and filename")
		}
	}
	switch {
	case !named || !validName(p.name) || strings.Contains(p.name, `\`) || strings.Contains(p.name, "=?") || smugglesParameter(p.name):
		return badPart("a part without a plain name")
	case extended && !p.file:
		// RFC 7578, section 4.2 forbids it; clients that send it beside a plain file
		// name do no harm, but alone it is a file to some and a field to others.
		return badPart("filename* without filename")
	}
	return nil
}

// validExtended says whether a filename* (RFC 8187) is a name for every reader: one that decodes to
// nothing makes the part a field for some.
func validExtended(value string) bool {
	charset, rest, _ := strings.Cut(value, "'")
	language, name, ok := strings.Cut(rest, "'")
	if !ok || !strings.EqualFold(charset, "utf-8") || strings.Contains(language, "%") {
		return false
	}
	plain, err := url.PathUnescape(name)
	return err == nil && validName(plain)
}

// validName says whether a field name is the same text to every reader: not empty,
// UTF-8, without control characters (PHP ends a name at NUL).
func validName(s string) bool { return s != "" && plainText(s) && utf8.ValidString(s) }

func plainText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// smugglesParameter says whether a reader that splits at ";" without minding quotation
// marks would see another name.
func smugglesParameter(s string) bool {
	for _, piece := range strings.Split(strings.ToLower(s), ";")[1:] {
		piece = strings.TrimLeft(piece, " \t")
		if strings.HasPrefix(piece, "name") || strings.HasPrefix(piece, "filename") {
			return true
		}
	}
	return false
}
