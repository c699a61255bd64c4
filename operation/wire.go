package operation

import (
	"bufio"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// wire reads a body as it comes from the client: bounded, compared with its
// Content-Length, and with every error turned into a refusal.
type wire struct {
	ex   *access.Exchange
	r    io.Reader
	size int64 // the Content-Length, -1 when unknown
	n    int64
	err  error
}

// Read implements io.Reader. Its errors are io.EOF and *access.Refusal, and stay.
func (w *wire) Read(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.r.Read(p)
	w.n += int64(n)
	most := w.ex.Route.Body.Max
	switch {
	case w.n > most:
		w.err = bodyTooLarge(w.ex, fmt.Errorf("over %d bytes", most))
	case w.size >= 0 && w.n > w.size:
		w.err = bodyIncomplete(w.ex, fmt.Errorf("more bytes than the Content-Length of %d", w.size))
	case err == io.EOF && w.size >= 0 && w.n < w.size:
		w.err = bodyIncomplete(w.ex, fmt.Errorf("%d bytes of %d", w.n, w.size))
	case err == io.EOF:
		w.err = io.EOF
	case err != nil:
		w.err = readRefusal(w.ex, err)
	default:
		return n, nil
	}
	if w.err != io.EOF {
		n = 0 // what belongs to a refused body is nobody's
	}
	return n, w.err
}

func readRefusal(ex *access.Exchange, err error) *access.Refusal {
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return bodyTooLarge(ex, err)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return bodyTimeout(ex, err)
	}
	return bodyIncomplete(ex, err)
}

// The bounds of inflating. Deflate reaches 1,032:1; honest text stays below 100:1 but
// for short repetitive bodies, which ratioFree leaves alone.
const (
	maxRatio  = 100
	ratioFree = 1 << 20
)

var (
	errEncoding = errors.New("a Content-Encoding other than one of gzip and deflate")
	errRatio    = fmt.Errorf("inflates more than %d times", maxRatio)
)

// contentEncoding reads the Content-Encoding lines: "", "gzip" or "deflate" (RFC 9110, section
// 8.4.1). Several encodings are refused: nobody sends them but to hide something.
func contentEncoding(lines []string) (string, error) {
	if len(lines) == 0 {
		return "", nil
	}
	switch name := strings.ToLower(strings.Trim(lines[0], " \t")); {
	case len(lines) > 1:
		return "", errEncoding
	case name == "" || name == "identity":
		return "", nil
	case name == "gzip" || name == "x-gzip":
		return "gzip", nil
	case name == "deflate":
		return "deflate", nil
	}
	return "", errEncoding
}

// inflater decodes a body within the same bound as if it had come plainly.
type inflater struct {
	wire     *wire
	encoding string
	in       *bufio.Reader
	z        io.Reader
	n        int64
	err      error
}

func inflate(w *wire, encoding string) *inflater {
	return &inflater{wire: w, encoding: encoding, in: bufio.NewReader(w)}
}

// Read implements io.Reader. Its errors are io.EOF and *access.Refusal, and stay.
func (f *inflater) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.read(p)
	f.n += int64(n)
	most := f.wire.ex.Route.Body.Max
	switch {
	case f.n > most:
		f.err = bodyTooLarge(f.wire.ex, fmt.Errorf("inflates to over %d bytes", most))
	case f.n > ratioFree && f.n/maxRatio > f.wire.n:
		f.err = bodyTooLarge(f.wire.ex, errRatio)
	case err == nil:
		return n, nil
	case err == io.EOF:
		f.err = io.EOF
		return n, io.EOF
	default:
		f.err = f.refusal(err)
	}
	return 0, f.err
}

func (f *inflater) read(p []byte) (n int, err error) {
	if f.z == nil {
		if _, err := f.in.Peek(1); err != nil {
			return 0, err // an empty body is empty in any encoding
		}
		if f.encoding == "gzip" {
			f.z, err = gzip.NewReader(f.in)
		} else {
			f.z, err = zlib.NewReader(f.in) // RFC 1950; the bare deflate of some clients is refused
		}
		if err != nil {
			return 0, err
		}
	}
	n, err = f.z.Read(p)
	if err != io.EOF {
		return n, err
	}
	// The body must end with the stream: what follows would be seen by nobody or by somebody.
	if _, err = f.in.ReadByte(); err == nil {
		err = errors.New("data after the end of the compressed stream")
	}
	return n, err
}

// refusal tells the client's broken connection from its broken compression.
func (f *inflater) refusal(err error) error {
	if f.wire.err != nil && f.wire.err != io.EOF {
		return f.wire.err
	}
	return bodyMalformed(f.wire.ex, fmt.Errorf("%s: %w", f.encoding, err))
}
