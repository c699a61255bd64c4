package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Bounds of one record, in bytes, without line feeds. The reader refuses longer lines.
const (
	maxHeader  = 256
	maxContent = 256 << 10
)

// Hash is a SHA-256 hash.
type Hash [sha256.Size]byte

// String is the hash in lower-case hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Header is the chained half of a record; the package comment gives its form.
type Header struct {
	Seq     uint64    // from 1, without a gap
	Time    time.Time // UTC, to the microsecond: when the record was written
	Prev    Hash      // of the header line before
	Content Hash      // of the content line
}

const (
	headerTime = "2006-01-02T15:04:05.000000Z"
	// The fixed text between a header's values.
	headSeq, headTime, headPrev, headContent, headEnd = `{"v":1,"seq":`, `,"time":"`, `","prev":"`, `","content_hash":"`, `"}`
)

// errFormat is wrapped by every error about bytes that are no record of ours.
var errFormat = errors.New("not a record of this journal's format")

// errTorn says that the bytes end inside a record.
var errTorn = errors.New("the segment ends inside a record")

func (h Header) append(b []byte) []byte {
	b = append(b, headSeq...)
	b = strconv.AppendUint(b, h.Seq, 10)
	b = append(b, headTime...)
	b = h.Time.UTC().AppendFormat(b, headerTime)
	b = append(b, headPrev...)
	b = hex.AppendEncode(b, h.Prev[:])
	b = append(b, headContent...)
	b = hex.AppendEncode(b, h.Content[:])
	return append(b, headEnd...)
}

// parseHeader reads what append writes and nothing else: what it accepts has one
// spelling, so that a header cannot mean two things to two readers.
func parseHeader(line []byte) (Header, error) {
	rest := line
	field := func(before string, until string) []byte {
		after, ok := bytes.CutPrefix(rest, []byte(before))
		if end := bytes.Index(after, []byte(until)); ok && end >= 0 {
			rest = after[end:]
			return after[:end]
		}
		rest = nil
		return nil
	}
	var h Header
	var err error
	if h.Seq, err = strconv.ParseUint(string(field(headSeq, headTime)), 10, 64); err != nil || h.Seq == 0 {
		return Header{}, fmt.Errorf("%w: header without a sequence number", errFormat)
	}
	if h.Time, err = time.Parse(headerTime, string(field(headTime, headPrev))); err != nil {
		return Header{}, fmt.Errorf("%w: header without a time", errFormat)
	}
	for _, hash := range []struct {
		into          *Hash
		before, until string
	}{{&h.Prev, headPrev, headContent}, {&h.Content, headContent, headEnd}} {
		text := field(hash.before, hash.until)
		if len(text) != hex.EncodedLen(len(hash.into)) {
			return Header{}, fmt.Errorf("%w: header without a hash", errFormat)
		}
		if _, err := hex.Decode(hash.into[:], text); err != nil {
			return Header{}, fmt.Errorf("%w: header without a hash", errFormat)
		}
	}
	var again [maxHeader]byte
	if !bytes.Equal(h.append(again[:0]), line) {
		return Header{}, fmt.Errorf("%w: header in another spelling", errFormat)
	}
	return h, nil
}

// record is one record as it stands in a segment.
type record struct {
	Header
	hash    Hash   // of the header line
	content []byte // empty when it was taken away; valid until the next read
	end     int64  // offset of the first byte after it
}

// segmentReader reads a segment from its beginning. It holds at most one record.
type segmentReader struct {
	in     *bufio.Reader
	offset int64
	header []byte
	buf    []byte
}

func newSegmentReader(in io.Reader) *segmentReader {
	return &segmentReader{in: bufio.NewReaderSize(in, 64<<10)}
}

// next gives the next record, whose content fits its header. The error is io.EOF at the
// end of a whole segment, errTorn inside a record, or wraps errFormat.
func (r *segmentReader) next() (record, error) {
	line, err := r.line(maxHeader)
	if err != nil {
		return record{}, err
	}
	r.header = append(r.header[:0], line...)
	return r.rest(r.header)
}

// resync gives the next record that begins anywhere after the last one read, skipping
// lines that are no record. It is for segments that are known to be damaged.
func (r *segmentReader) resync() (record, error) {
	for {
		line, err := r.line(maxContent)
		switch {
		case errors.Is(err, errFormat):
			continue
		case err != nil:
			return record{}, err
		}
		r.header = append(r.header[:0], line...)
		for {
			if _, err := parseHeader(r.header); err != nil {
				break
			}
			rec, err := r.rest(r.header)
			if err == nil || errors.Is(err, errTorn) {
				return rec, err
			}
			// What stood in the place of the content may be the next header.
			r.header = append(r.header[:0], bytes.TrimSuffix(r.buf, []byte("\n"))...)
		}
	}
}

func (r *segmentReader) rest(headerLine []byte) (record, error) {
	h, err := parseHeader(headerLine)
	if err != nil {
		return record{}, err
	}
	content, err := r.line(maxContent)
	if err == io.EOF {
		err = errTorn
	}
	if err != nil {
		return record{}, err
	}
	if len(content) > 0 && Hash(sha256.Sum256(content)) != h.Content {
		return record{}, fmt.Errorf("%w: record %d: the content does not fit its header", errFormat, h.Seq)
	}
	return record{Header: h, hash: sha256.Sum256(headerLine), content: content, end: r.offset}, nil
}

// line reads up to the next line feed. A line longer than limit is read to its end, at
// no cost of memory, and is an error.
func (r *segmentReader) line(limit int) ([]byte, error) {
	r.buf = r.buf[:0]
	tooLong := false
	for {
		part, err := r.in.ReadSlice('\n')
		r.offset += int64(len(part))
		if tooLong = tooLong || len(r.buf)+len(part) > limit+1; !tooLong {
			r.buf = append(r.buf, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
		case err == io.EOF && (len(r.buf) > 0 || tooLong):
			return nil, errTorn
		case err != nil:
			return nil, err
		case tooLong:
			r.buf = r.buf[:0]
			return nil, fmt.Errorf("%w: a line of more than %d bytes", errFormat, limit)
		default:
			return r.buf[:len(r.buf)-1], nil
		}
	}
}
