package waf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// readBody reads a spooled body once and hands its values to the rules.
func (e *Engine) readBody(ex *access.Exchange) feeder {
	return func(ctx context.Context, tx *transaction) (err error) {
		if err := e.checkType(ex); err != nil {
			return err
		}
		mediaType, err := mediaTypeOf(ex)
		if err != nil {
			return err
		}
		if enc := ex.Request.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
			return breachEncoded
		}
		if ex.Body.Open == nil {
			return errors.New("waf: a body that cannot be opened")
		}
		r, err := ex.Body.Open()
		if err != nil {
			return fmt.Errorf("opening the body: %w", err)
		}
		defer func() { err = errors.Join(err, r.Close()) }()
		return e.payload(tx).read(&source{ctx: ctx, r: r}, formOf(mediaType), ex.Request.Header.Get("Content-Type"))
	}
}

// source is the spooled body. It fails when the request has ended, and remembers why
// it failed, so that a parser's error can be told from ours.
type source struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// payload takes the values out of one body, within its bounds.
type payload struct {
	tx     *transaction
	limits Limits
	values int   // how many more values may come
	bytes  int64 // how many more bytes of names and values may come
	n      int   // values so far
}

// add hands one value to the rules. Names are repeated for each value under them
// ("items.17.name"), so that bytes bounds what a small body can be blown up to.
func (p *payload) add(name, value string) error {
	if err := p.spend(len(name) + len(value)); err != nil {
		return err
	}
	if p.values--; p.values < 0 {
		return breachValues
	}
	p.n++
	if name == "" {
		name = "nameless." + strconv.Itoa(p.n) // see unique
	}
	p.tx.AddPostRequestArgument(unique(name), value)
	return nil
}

func (p *payload) spend(n int) error {
	if p.bytes -= int64(n); p.bytes < 0 {
		return breachBodySize
	}
	return nil
}

// processor names are those that CRS asks for in REQBODY_PROCESSOR.
func (p *payload) processor(name string) error { return set(p.tx.vars.RequestBodyProcessor(), name) }

// read reads the body in one of the forms.
func (p *payload) read(r *source, f form, contentType string) error {
	if f == formMultipart {
		return errors.Join(p.processor("MULTIPART"), p.multipart(r, contentType))
	}
	body, whole, err := p.slurp(r)
	if err != nil {
		return err
	}
	if !whole && f != formBinary {
		return breachBodySize
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	switch f {
	case formJSON:
		return errors.Join(p.processor("JSON"), p.json(body))
	case formXML:
		return errors.Join(p.processor("XML"), p.xml(body))
	case formFields:
		return errors.Join(p.processor("URLENCODED"), p.raw(body), p.fields(string(body)))
	case formBinary:
		return p.likeJSON(body, whole)
	}
	return errors.Join(p.raw(body), p.text(body))
}

// slurp reads up to the limit and says whether that was all.
func (p *payload) slurp(r io.Reader) (body []byte, whole bool, err error) {
	limit := int64(p.limits.Body)
	body, err = io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, false, fmt.Errorf("reading the body: %w", err)
	}
	if int64(len(body)) > limit {
		return body[:limit], false, nil
	}
	return body, true, nil
}

// raw fills the variables that hold the body as it came.
func (p *payload) raw(body []byte) error {
	return errors.Join(
		set(p.tx.vars.RequestBody(), string(body)),
		set(p.tx.vars.RequestBodyLength(), strconv.Itoa(len(body))))
}

// fields reads a form (WHATWG URL Standard, section 5.1), leniently.
func (p *payload) fields(body string) error {
	// Names and values cost their bytes once; as the body is not longer than the
	// limit, nor are they.
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if err := p.add(unescape(name), unescape(value)); err != nil {
			return err
		}
	}
	return nil
}

// text judges a body as one value, and as JSON too when it looks like it: many a
// backend parses JSON whatever its type says.
func (p *payload) text(body []byte) error {
	p.bytes += int64(len(body) + len("body")) // they are about to be read a second time
	if err := p.add("body", string(body)); err != nil {
		return err
	}
	return p.likeJSON(body, true)
}

// likeJSON judges the JSON value that a body of another type begins with, if any.
// What follows it is not JSON, so an error of syntax ends the reading and no more;
// a bound that is passed refuses.
func (p *payload) likeJSON(body []byte, whole bool) error {
	trimmed := bytes.TrimLeft(trimBOM(body), " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '{' && trimmed[0] != '[' {
		return nil
	}
	before := p.n
	err := p.leaves(body)
	if b, ok := errors.AsType[breach](err); ok && b == breachJSON {
		if !whole && p.n > before {
			return breachBodySize // JSON as far as it was read
		}
		return nil
	}
	return err
}
