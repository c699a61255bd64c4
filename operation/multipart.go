package operation

import (
	"bytes"
	"errors"
)

// multipartParser takes a multipart/form-data body apart as it arrives, in pieces of
// any size, with bounded memory. It is narrower than RFC 2046, because readers differ beyond:
// line ends are CRLF, nothing stands before the first delimiter or after the last, a delimiter
// has no padding, and the boundary stands nowhere but in delimiters (RFC 2046, section 5.1.1
// forbids it, and readers that accept a bare LF would find a delimiter there).
type multipartParser struct {
	dashBoundary []byte // "--" and the boundary
	fieldMax     int    // bytes of one field's content

	// begin is called when a part's headers were read; keep asks for its content.
	begin func(p part) (keep bool, err error)
	// field is called at the end of a part whose content was asked for.
	field func(p part, text string) error

	// paused stops the parser before the content of a part: set by begin, cleared by the owner, who then
	// feeds on, with nothing if need be.
	paused bool

	state   multipartState
	room    []byte // where buf lies, from its beginning
	buf     []byte // bytes that are not decided yet
	seen    int    // how much of buf was searched for the end of the headers
	off     int64  // where buf begins in the body
	safe    int64  // the bytes before this place are judged
	parts   int
	current part
	keep    bool
	content []byte
}

type multipartState uint8

const (
	atStart multipartState = iota
	inHeaders
	inContent
	atEnd
)

// errFieldTooLong is returned for a field over fieldMax; errTooManyParts for more
// than maxParts.
var (
	errFieldTooLong = errors.New("a field of a multipart body is too long")
	errTooManyParts = errors.New("too many parts")
)

func newMultipartParser(boundary string, fieldMax int64) *multipartParser {
	return &multipartParser{dashBoundary: []byte("--" + boundary), fieldMax: int(fieldMax)}
}

// feed takes the next bytes. Errors wrap errMultipart, errFieldTooLong or
// errTooManyParts, or are those of begin and field; the parser is useless after one.
func (m *multipartParser) feed(p []byte) error {
	m.room = append(append(m.room[:0], m.buf...), p...)
	m.buf = m.room
	for !m.paused {
		var more bool // progress was made
		var err error
		switch m.state {
		case atStart:
			more, err = m.start()
		case inHeaders:
			more, err = m.headers()
		case inContent:
			more, err = m.body()
		case atEnd:
			if len(m.buf) > 2 || !bytes.HasPrefix([]byte("\r\n"), m.buf) {
				err = badPart("data after the last delimiter")
			}
		}
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	return nil
}

// finish says that the body has ended. Then everything is safe.
func (m *multipartParser) finish() error {
	if m.state != atEnd || len(m.buf) == 1 {
		return badPart("no closing delimiter")
	}
	m.safe = m.off + int64(len(m.buf))
	return nil
}

// drop forgets the first n bytes of buf.
func (m *multipartParser) drop(n int) {
	m.off += int64(n)
	m.buf = m.buf[n:]
	m.seen = 0
}

// start reads the first delimiter, which an empty line may precede.
func (m *multipartParser) start() (bool, error) {
	i := 0
	if bytes.HasPrefix(m.buf, []byte("\r\n")) {
		i = 2
	}
	n := min(len(m.buf)-i, len(m.dashBoundary))
	if !bytes.Equal(m.buf[i:i+n], m.dashBoundary[:n]) && !bytes.Equal(m.buf, []byte("\r")) {
		return false, badPart("it does not begin with its delimiter")
	}
	if n < len(m.dashBoundary) {
		return false, nil
	}
	return m.delimiter(i)
}

// delimiter reads what follows the dash-boundary at i: CRLF or the closing "--".
func (m *multipartParser) delimiter(i int) (bool, error) {
	after := m.buf[i+len(m.dashBoundary):]
	if len(after) < 2 {
		return false, nil
	}
	switch string(after[:2]) {
	case "\r\n":
		m.state = inHeaders
	case "--":
		m.state = atEnd
	default:
		return false, badPart("the boundary stands in the content, or a delimiter is padded")
	}
	if m.parts++; m.parts > maxParts && m.state == inHeaders {
		return false, errTooManyParts
	}
	m.drop(i + len(m.dashBoundary) + 2)
	return true, nil
}

func (m *multipartParser) headers() (bool, error) {
	end := bytes.Index(m.buf[m.seen:], []byte("\r\n\r\n"))
	if end >= 0 {
		end += m.seen
	}
	if end > maxPartHeader || end < 0 && len(m.buf) > maxPartHeader+4 {
		return false, badPart("headers of more than %d bytes", maxPartHeader)
	}
	if end < 0 {
		m.seen = max(len(m.buf)-3, 0)
		return false, nil
	}
	block := m.buf[:end]
	if bytes.Contains(block, m.dashBoundary) {
		return false, badPart("the boundary stands in the headers")
	}
	var err error
	if m.current, err = parsePart(block); err != nil {
		return false, err
	}
	m.drop(end + 4)
	m.state, m.content = inContent, m.content[:0]
	m.keep, err = m.begin(m.current)
	return true, err
}

// body reads content up to the next delimiter.
func (m *multipartParser) body() (bool, error) {
	i := bytes.Index(m.buf, m.dashBoundary)
	if i < 0 {
		// What could still begin a delimiter stays: CRLF and all but one byte of the rest.
		return false, m.take(len(m.buf) - len(m.dashBoundary) - 1)
	}
	if i < 2 || m.buf[i-2] != '\r' || m.buf[i-1] != '\n' {
		return false, badPart("the boundary stands in the content, or a delimiter has no line of its own")
	}
	if err := m.take(i - 2); err != nil || len(m.buf) < 2+len(m.dashBoundary)+2 {
		return false, err
	}
	if m.keep {
		if err := m.field(m.current, string(m.content)); err != nil {
			return false, err
		}
	}
	m.safe = m.off
	return m.delimiter(2)
}

// take takes n bytes of content.
func (m *multipartParser) take(n int) error {
	if n <= 0 {
		return nil
	}
	if m.keep {
		if len(m.content)+n > m.fieldMax {
			return errFieldTooLong
		}
		m.content = append(m.content, m.buf[:n]...)
	}
	m.drop(n)
	if !m.keep {
		m.safe = m.off
	}
	return nil
}
