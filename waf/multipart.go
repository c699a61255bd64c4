package waf

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strconv"
	"strings"
)

// maxBoundary is the longest boundary (RFC 2046, section 5.1.1), in bytes.
const maxBoundary = 70

// multipart judges the fields of a multipart/form-data body and the names and
// headers of its files (RFC 7578). Parsers disagree about most of what lies beyond
// that document, so a body is refused that has a preamble, bare line feeds, extended
// parameters (filename*, section 4.2 forbids them), backslashes in names, or part
// headers twice: whatever is judged here has one reading.
func (p *payload) multipart(r *source, contentType string) error {
	boundary, err := boundaryOf(contentType)
	if err != nil {
		return err
	}
	in := bufio.NewReader(r)
	if err := begins(in, boundary); err != nil {
		return r.blame(err)
	}
	parts := multipart.NewReader(in, boundary)
	files, size := 0, int64(0)
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return set(p.tx.vars.FilesCombinedSize(), strconv.FormatInt(size, 10))
		}
		if err != nil {
			return r.blame(breachMultipart)
		}
		name, filename, err := p.partHeader(part.Header)
		if err != nil {
			return err
		}
		if filename == "" {
			if err := p.field(r, part, name); err != nil {
				return err
			}
			continue
		}
		if files++; files > p.limits.Files {
			return breachValues
		}
		n, err := io.Copy(io.Discard, part)
		if err != nil {
			return r.blame(breachMultipart)
		}
		size += n
		if err := p.file(name, filename, n); err != nil {
			return err
		}
	}
}

// blame is the client's breach, unless the body could not be read by our fault.
func (s *source) blame(b error) error {
	if s.err != nil {
		return fmt.Errorf("reading the body: %w", s.err)
	}
	return b
}

// boundaryOf takes the boundary from a Content-Type that can be read in one way.
func boundaryOf(contentType string) (string, error) {
	_, params, err := mime.ParseMediaType(contentType)
	b := params["boundary"]
	if err != nil || b == "" || len(b) > maxBoundary || starred(contentType) {
		return "", breachMultipart
	}
	return b, nil
}

// begins checks that the first boundary is the first thing in the body and ends with
// CRLF, which makes Go's reader insist on CRLF throughout.
func begins(in *bufio.Reader, boundary string) error {
	want := "--" + boundary
	got, _ := in.Peek(len(want) + 2)
	rest, ok := bytes.CutPrefix(got, []byte(want))
	if !ok || string(rest) != "\r\n" && string(rest) != "--" {
		return breachMultipart
	}
	return nil
}

// partHeader reads and judges the header of one part.
func (p *payload) partHeader(h textproto.MIMEHeader) (name, filename string, err error) {
	disposition := h.Get("Content-Disposition")
	kind, params, err := mime.ParseMediaType(disposition)
	name, named := params["name"]
	if err != nil || kind != "form-data" || !named || starred(disposition) || strings.Contains(disposition, `\`) {
		return "", "", breachMultipart
	}
	for key, values := range h {
		if len(values) != 1 {
			return "", "", breachMultipart
		}
		line := key + ": " + values[0]
		if err := p.spend(len(line)); err != nil {
			return "", "", err
		}
		p.tx.vars.MultipartPartHeaders().Add(unique(orNameless(name)), line)
	}
	return name, params["filename"], nil
}

// field judges one field.
func (p *payload) field(r *source, part io.Reader, name string) error {
	text, err := io.ReadAll(io.LimitReader(part, max(p.bytes, 0)+1))
	if err != nil {
		return r.blame(breachMultipart)
	}
	p.tx.vars.MultipartName().Add(unique(orNameless(name)), name)
	return p.add(name, string(text))
}

// file judges the names of one file; name is the field's. The file's name is an
// argument as well, as it ends up in the application's pages.
func (p *payload) file(name, filename string, size int64) error {
	v := p.tx.vars
	v.Files().Add("", filename)
	v.FilesNames().Add("", name)
	v.FilesSizes().Add(unique(filename), strconv.FormatInt(size, 10))
	v.MultipartName().Add(unique(orNameless(name)), name)
	v.MultipartFilename().Add(unique(orNameless(name)), filename)
	return p.add(orNameless(name)+".filename", filename)
}

func orNameless(name string) string {
	if name == "" {
		return "nameless"
	}
	return name
}

// starred says whether a header has a parameter in the extended or continued
// notation of RFC 2231: an asterisk outside of quotes.
func starred(header string) bool {
	quoted := false
	for i := range len(header) {
		switch header[i] {
		case '"':
			quoted = !quoted
		case '*':
			if !quoted {
				return true
			}
		}
	}
	return false
}
