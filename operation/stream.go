package operation

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// streamPiece is how much of a stream is read at once.
const streamPiece = 32 << 10

// errFirstFields is the private half of refusing an upload whose fields are too long to be judged
// before the backend is called.
var errFirstFields = errors.New("no file begins within the bound of the fields before it")

// tryStream lets a body pass as it comes, where that is safe: a multipart upload from its first
// file on, and an opaque body that is not JSON in disguise. Otherwise it gives back
// the whole body to be spooled.
func (r *Reader) tryStream(ex *access.Exchange, body *spooled, src io.Reader, media mediaType, size int64) (streams bool, rest io.Reader, err error) {
	switch {
	case size == 0:
		return false, src, nil
	case media.family() == multipartFamily:
		return r.streamMultipart(ex, body, src, media, size)
	case media.family() == opaque && media.essence != "":
		return r.streamOpaque(ex, body, src, size)
	}
	return false, src, nil
}

// streamOpaque looks at the first bytes that count. A body that begins like JSON on a site that
// guards JSON is spooled and judged whole.
func (r *Reader) streamOpaque(ex *access.Exchange, body *spooled, src io.Reader, size int64) (bool, io.Reader, error) {
	g := newGuard(ex)
	if (!g.json.Empty() || !g.form.Empty()) && strings.HasPrefix(ex.Body.MediaType, "multipart/") {
		return false, src, nil // Complete refuses it
	}
	var head []byte
	if !g.json.Empty() {
		if err := body.memory.grow(streamPiece); err != nil {
			return false, nil, err
		}
		head = make([]byte, 0, streamPiece)
	}
	for !g.json.Empty() {
		n, err := src.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		begins, undecided := new(opening).feed(head)
		if begins || undecided && (err != nil || len(head) == cap(head)) {
			if err != nil {
				src = failing{err} // io.EOF too: the reader may not be asked again
			}
			return false, io.MultiReader(bytes.NewReader(head), src), nil
		}
		if err != nil {
			src = failing{err}
		}
		if !undecided {
			break
		}
	}
	passes(ex, &opaqueStream{io.MultiReader(bytes.NewReader(head), src), ex.Request.Body}, size)
	return true, nil, nil
}

// failing is a reader that fails.
type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// passes makes the exchange carry a stream.
func passes(ex *access.Exchange, stream io.ReadCloser, size int64) {
	ex.Body.Size = size
	ex.Body.Stream = stream
	forward(ex, stream, size)
}

// opaqueStream is a bounded body without parts. Its errors are io.EOF and *access.Refusal.
type opaqueStream struct {
	io.Reader
	io.Closer
}

// multipartStream gives a multipart body byte for byte, each byte only after it was judged. What follows the first file
// is held back until it is: headers of a part until they are read, a field until its end, and the
// last delimiter until the body has ended. So the backend never has a complete body that we refused.
type multipartStream struct {
	ex     *access.Exchange
	src    io.Reader
	closer io.Closer
	parser *multipartParser
	room   []byte // where buf lies, from its beginning
	buf    []byte // read and not released
	off    int64  // where buf begins in the body
	err    error  // io.EOF once all of it was judged

	// leading holds what stood before the first file, for Complete.
	leading []leadingPart
	// judge judges what comes late; made by Complete, and nil refuses everything.
	judge *judge
}

type leadingPart struct {
	part part
	text string
	file bool // no text was kept
}

// streamMultipart reads up to the first file. A body without one is spooled: it is all fields.
func (r *Reader) streamMultipart(ex *access.Exchange, body *spooled, src io.Reader, media mediaType, size int64) (bool, io.Reader, error) {
	// The head, the parser's copy, a late field: the most that a stream ever holds.
	if err := body.memory.grow(3*r.memory + 2*streamPiece); err != nil {
		return false, nil, err
	}
	s := &multipartStream{ex: ex, src: src, closer: ex.Request.Body, parser: newMultipartParser(media.boundary, r.memory)}
	data := judge{ex: ex, guard: newGuard(ex)} // for isData alone
	s.parser.begin = func(p part) (bool, error) {
		if p.file && !data.isData(p) {
			s.parser.paused = true
			s.leading = append(s.leading, leadingPart{part: p, file: true})
			return false, nil
		}
		return true, nil
	}
	s.parser.field = func(p part, text string) error {
		s.leading = append(s.leading, leadingPart{part: p, text: text})
		return nil
	}
	for s.err == nil && !s.parser.paused {
		if int64(len(s.buf)) >= r.memory {
			return false, nil, bodyTooComplex(ex, errFirstFields)
		}
		s.more(min(streamPiece, int(r.memory)-len(s.buf)))
	}
	switch {
	case s.parser.paused:
		s.parser.begin, s.parser.field = s.beginLate, s.lateField
		passes(ex, s, size)
		return true, nil, nil
	case s.err != io.EOF:
		return false, nil, s.err
	}
	return false, bytes.NewReader(s.buf), nil
}

// more reads and judges the next piece.
func (s *multipartStream) more(piece int) {
	held := len(s.buf)
	s.room = slices.Grow(append(s.room[:0], s.buf...), piece)
	n, err := s.src.Read(s.room[held : held+piece])
	s.buf = s.room[:held+n]
	fed := s.parser.feed(s.buf[held:])
	if fed == nil && err == io.EOF && !s.parser.paused {
		fed = s.parser.finish()
	}
	switch {
	case fed != nil:
		s.err = asRefusal(badMultipart(s.ex, fed))
	case err != nil && s.parser.paused:
		s.src = failing{err} // told when the stream is read on
	default:
		s.err = err
	}
}

// Read implements io.Reader. Its errors are io.EOF and *access.Refusal.
func (s *multipartStream) Read(p []byte) (int, error) {
	if s.parser.paused { // at the first Read, after Complete
		s.parser.paused = false
		if err := s.parser.feed(nil); err != nil {
			s.err = asRefusal(badMultipart(s.ex, err))
		}
	}
	for {
		if s.err != nil && s.err != io.EOF {
			return 0, s.err // what was held back is never released
		}
		if n := min(s.parser.safe-s.off, int64(len(p))); n > 0 {
			copy(p, s.buf[:n])
			s.buf = s.buf[n:]
			s.off += n
			return int(n), nil
		}
		if s.err != nil || len(p) == 0 {
			return 0, s.err
		}
		s.more(streamPiece)
	}
}

// Close implements io.Closer.
func (s *multipartStream) Close() error { return s.closer.Close() }

// beginLate judges the headers of a part after the first file.
func (s *multipartStream) beginLate(p part) (keep bool, err error) {
	if s.judge == nil {
		return false, errors.New("operation: a stream was opened before it was judged")
	}
	if hit, _ := s.judge.guard.form.Find(p.name); hit != "" {
		return false, tenantMismatch(s.ex, errTenantFile)
	}
	if s.judge.namesOperation(p.name) {
		return false, operationAmbiguous(s.ex, errors.New("the parameter of the operation comes after the first file"))
	}
	return !p.file || s.judge.isData(p), nil
}

// lateField judges the content of a field after the first file; inspect_body's word is the last.
// Its values are not kept, so that a long upload needs no more memory than a short one.
func (s *multipartStream) lateField(p part, text string) error {
	values, members, held := len(s.judge.values), len(s.judge.members), s.judge.memory.held()
	if err := s.judge.part(p, text); err != nil {
		return err
	}
	for _, v := range s.judge.values[values:] {
		if s.ex.Body.LateField == nil {
			return refuse(s.ex, http.StatusBadRequest, "field_after_file", "A field stands after the first file of the upload.",
				"Send the fields before the files.")
		}
		if err := s.ex.Body.LateField(v); err != nil {
			if _, ok := errors.AsType[*access.Refusal](err); ok {
				return err
			}
			return access.Unavailable("body_inspection", err)
		}
	}
	s.judge.values, s.judge.members = s.judge.values[:values], s.judge.members[:members]
	s.judge.memory.shrink(held)
	return nil
}

// leading judges a part from before the first file.
func (j *judge) leading(l leadingPart) error {
	switch {
	case l.file:
		return j.file(l.part.name)
	case j.isData(l.part):
		if err := j.file(l.part.name); err != nil {
			return err
		}
	}
	return j.part(l.part, l.text)
}

// stream judges what stood before the first file of a stream.
func (j *judge) stream(body io.ReadCloser) error {
	switch s := body.(type) {
	case *opaqueStream:
		return nil
	case *multipartStream:
		for _, l := range s.leading {
			if err := j.leading(l); err != nil {
				return err
			}
		}
		s.leading, s.judge = nil, j
		return nil
	}
	return errors.New("operation: a stream that the read_body gate did not make")
}

// namesOperation says whether a field could name the operation of this route.
func (j *judge) namesOperation(name string) bool {
	names := []string{overrideField}
	if op := j.ex.Route.Operation; op != nil && op.Form != nil {
		names = append(names, op.Form.Parameter, op.Form.ID)
	}
	for _, n := range names {
		if n != "" && sameParameter(name, access.FoldName(n)) {
			return true
		}
	}
	return false
}
