package operation

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/sallyport/sallyport/access"
)

// Reader makes the gates read_body and operation. It is part of the Plan: immutable, and
// safe for concurrent use, one Exchange at a time each.
type Reader struct {
	spool  *Spool
	memory int64 // bytes of one body kept in memory
	judged int64 // the largest JSON or form body
}

// Deps is what a Reader needs from outside.
type Deps struct {
	// Spool holds the bodies, of this Reader and of those before and after it.
	Spool *Spool
}

// New makes a Reader. It does no I/O.
func New(cfg Config, deps Deps) (*Reader, error) {
	if deps.Spool == nil {
		return nil, errors.New("operation: no spool")
	}
	cfg = cfg.WithDefaults()
	return &Reader{spool: deps.Spool, memory: int64(cfg.Memory), judged: int64(cfg.Judged)}, nil
}

// Read is the read_body gate: the one reading of the request's body, bounded by
// ex.Route.Body. It fills ex.Body, and leaves in ex.Request no second framing and no second body: its headers
// fit what is forwarded, and its Body gives the judged bytes. The corridor calls
// ex.Body.Release at the end, also after a refusal.
//
// It refuses with 400 (content_type_ambiguous, body_malformed, body_incomplete), 408, 413, 415, or 503
// when there is no room or our disk fails.
func (r *Reader) Read(ex *access.Exchange) error {
	if !ex.Body.Present {
		return nil
	}
	media, encoding, err := r.head(ex)
	if err != nil {
		return err
	}
	ex.Body.MediaType = media.essence
	size := ex.Request.ContentLength
	raw := &wire{ex: ex, r: ex.Request.Body, size: size}
	var src io.Reader = raw
	if encoding != "" {
		size = -1
		src = inflate(raw, encoding)
	}
	body := r.spool.newBody()
	ex.Body.Release = body.free
	if err := r.take(ex, body, src, media, size); err != nil {
		body.free()
		return asRefusal(err)
	}
	return nil
}

// take lets the body stream where the route says so and its kind allows it, and spools it
// otherwise.
func (r *Reader) take(ex *access.Exchange, body *spooled, src io.Reader, media mediaType, size int64) error {
	if ex.Route.Body.Stream {
		streams, rest, err := r.tryStream(ex, body, src, media, size)
		if streams || err != nil {
			return err
		}
		src = rest
	}
	return r.keep(ex, body, src, media, size)
}

// head judges what the headers say about the body.
func (r *Reader) head(ex *access.Exchange) (mediaType, string, error) {
	header := ex.Request.Header
	media, err := parseMediaType(header["Content-Type"])
	switch {
	case errors.Is(err, errCharset):
		return media, "", charsetUnsupported(ex, err)
	case err != nil:
		return media, "", contentTypeAmbiguous(ex, err)
	}
	rule := ex.Route.Body
	if media.essence != "" && !slices.Contains(rule.Types, media.essence) && !slices.Contains(rule.Types, "*/*") {
		return media, "", typeUnsupported(ex, errUndeclared)
	}
	if op := ex.Route.Operation; op != nil && op.JSONRPC != nil && media.family() != jsonFamily && ex.Request.ContentLength != 0 {
		return media, "", typeUnsupported(ex, errNotJSONRPC)
	}
	encoding, err := contentEncoding(header["Content-Encoding"])
	if err != nil {
		return media, "", encodingUnsupported(ex, err)
	}
	if ex.Request.ContentLength > rule.Max {
		return media, "", bodyTooLarge(ex, errDeclaredLength)
	}
	return media, encoding, nil
}

var (
	errUndeclared     = errors.New("the type is not declared for this route")
	errNotJSONRPC     = errors.New("a body that is not JSON on a JSON-RPC route")
	errDeclaredLength = errors.New("the Content-Length is over the route's bound")
	errNoType         = errors.New("a body without a Content-Type")
	errJudgedSize     = errors.New("larger than what is judged as a whole")
)

// keep spools the body and makes the exchange carry it.
func (r *Reader) keep(ex *access.Exchange, body *spooled, src io.Reader, media mediaType, size int64) error {
	if media.essence == "" {
		// Without a type nobody knows what the backend makes of it; only nothing may come.
		if n, err := io.ReadFull(src, make([]byte, 1)); n > 0 {
			return typeUnsupported(ex, errNoType)
		} else if err != io.EOF {
			return err
		}
	} else {
		if family := media.family(); family == jsonFamily || family == formFamily {
			src = &atMost{ex: ex, r: src, left: r.judged}
		}
		if err := r.spool.fill(body, src, r.memory, size); err != nil {
			return err
		}
	}
	ex.Body.Size = body.size
	ex.Body.Open = body.open
	opened, err := body.open()
	if err != nil {
		return err
	}
	forward(ex, opened, body.size)
	return nil
}

// forward makes the request's own headers and body fit what is forwarded, so that
// whoever reads the request reads what was judged and there is one framing (RFC 9112, section 6).
func forward(ex *access.Exchange, body io.ReadCloser, size int64) {
	req := ex.Request
	req.Body = body
	req.ContentLength = size
	req.TransferEncoding = nil
	req.Trailer = nil
	req.Header.Del("Content-Encoding")
	req.Header.Del("Content-Length")
	if size >= 0 {
		req.Header.Set("Content-Length", strconv.FormatInt(size, 10))
	}
	if size == 0 {
		req.Body = http.NoBody
	}
}

// atMost refuses what is over a bound.
type atMost struct {
	ex   *access.Exchange
	r    io.Reader
	left int64
}

// Read implements io.Reader.
func (a *atMost) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if a.left -= int64(n); a.left < 0 {
		return 0, bodyTooLarge(a.ex, errJudgedSize)
	}
	return n, err
}
