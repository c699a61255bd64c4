package waf

import (
	"context"
	"sync"

	"github.com/sallyport/sallyport/access"
)

// maxLateFields bounds the fields of a stream that come after its first file: each
// costs a judgement of its own. Forms put their fields first, or a few last.
const maxLateFields = 32

// inspectStream judges what is known of a body that passes unspooled, and has
// later fields judged as they come. The content of files passes unjudged.
func (e *Engine) inspectStream(ex *access.Exchange, mode access.Mode) error {
	if mode == access.Off {
		ex.Body.LateField = func(access.Value) error { return nil }
		return nil
	}
	h := headOf(ex)
	err := e.conclude(ex, mode, e.judge(ex.Request.Context(), h, e.leading(ex)))
	if err == nil {
		ex.Body.LateField = e.lateField(ex, mode, h)
	}
	return err
}

// leading judges the fields that came before the first file.
func (e *Engine) leading(ex *access.Exchange) feeder {
	return func(_ context.Context, tx *transaction) error {
		if err := e.checkType(ex); err != nil {
			return err
		}
		mediaType, err := mediaTypeOf(ex)
		if err != nil {
			return err
		}
		if enc := ex.Request.Header.Get("Content-Encoding"); enc != "" {
			return breachEncoded
		}
		switch formOf(mediaType) {
		case formJSON, formFields, formXML:
			return breachStream
		}
		return e.payload(tx).list(ex.Body.Values)
	}
}

// payload starts the reading of one body.
func (e *Engine) payload(tx *transaction) *payload {
	l := e.config.Limits
	return &payload{tx: tx, limits: l, values: l.Arguments, bytes: int64(l.Body)}
}

// list judges values that another gate has parsed.
func (p *payload) list(values []access.Value) error {
	if err := p.processor("MULTIPART"); err != nil {
		return err
	}
	for _, v := range values {
		if err := p.add(v.Path, v.Text); err != nil {
			return err
		}
	}
	return nil
}

// lateField makes the function that judges one later field, together with the head.
// It runs on whatever goroutine sends the stream to the backend, maybe while the
// answer is already being handled: it works on copies and leaves nothing on the
// exchange. Its findings are counted, and in its refusal's private half. All late
// fields of a stream share one bound, as the fields of a spooled body do.
func (e *Engine) lateField(ex *access.Exchange, mode access.Mode, h head) func(access.Value) error {
	h.header = h.header.Clone()
	ctx, s := ex.Request.Context(), subject{id: ex.ID, site: siteName(ex)}
	var mu sync.Mutex
	fields, left := maxLateFields, int64(e.config.Limits.Body)
	return func(v access.Value) error {
		if e.closed.Load() {
			return errNoEngine
		}
		mu.Lock()
		fields, left = fields-1, left-int64(len(v.Path)+len(v.Text))
		tooMany, tooMuch := fields < 0, left < 0
		mu.Unlock()
		found := e.judge(ctx, h, func(_ context.Context, tx *transaction) error {
			switch {
			case tooMany:
				return breachValues
			case tooMuch:
				return breachBodySize
			}
			return e.payload(tx).list([]access.Value{v})
		})
		return e.settle(ctx, s, mode, found, found.findings)
	}
}
