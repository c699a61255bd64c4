package operation

import (
	"errors"
	"io"
	"strings"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/strictjson"
)

// Complete is the operation gate: it fills ex.Body.Values, completes ex.Route where the body names the
// operation, and holds the tenant guard over every field. Read must have passed.
//
// It refuses with 400 (body_malformed, jsonrpc_invalid, operation_ambiguous, method_override), 403 (tenant_mismatch),
// 413 (body_too_large, body_too_complex), 415, or 503 when our own memory or disk fails.
func (r *Reader) Complete(ex *access.Exchange) error {
	if !ex.Body.Present {
		return nil
	}
	j := &judge{ex: ex, guard: newGuard(ex), memory: &claim{of: &r.spool.memory}}
	release := ex.Body.Release
	ex.Body.Release = func() {
		j.memory.free()
		if release != nil {
			release()
		}
	}
	var text string
	var err error
	switch {
	case ex.Body.Stream != nil:
		err = j.stream(ex.Body.Stream)
	case ex.Body.Open == nil:
		return errors.New("operation: the body was not read") // 503: a gate is missing
	case ex.Body.Size > 0:
		text, err = r.parse(j)
	}
	if err == nil {
		err = j.route(text)
	}
	if err != nil {
		return asRefusal(err)
	}
	ex.Body.Values = j.values
	return nil
}

// parse takes a spooled body apart by its type. It gives the text of a JSON body.
func (r *Reader) parse(j *judge) (string, error) {
	media, err := parseMediaType(j.ex.Request.Header["Content-Type"])
	if err != nil {
		return "", contentTypeAmbiguous(j.ex, err)
	}
	switch media.family() {
	case jsonFamily:
		text, err := r.text(j)
		if err != nil {
			return "", err
		}
		return text, j.document(text, "")
	case formFamily:
		return "", r.form(j)
	case multipartFamily:
		return "", r.multipart(j, media.boundary)
	}
	return "", r.disguised(j, media)
}

// text reads the whole body into memory.
func (r *Reader) text(j *judge) (string, error) {
	if j.ex.Body.Size > r.judged {
		return "", bodyTooLarge(j.ex, errJudgedSize)
	}
	if err := j.memory.grow(j.ex.Body.Size); err != nil {
		return "", err
	}
	body, err := j.ex.Body.Open()
	if err != nil {
		return "", err
	}
	defer body.Close()
	var text strings.Builder
	text.Grow(int(j.ex.Body.Size))
	if _, err := io.Copy(&text, body); err != nil {
		return "", err
	}
	return text.String(), nil
}

func (r *Reader) form(j *judge) error {
	text, err := r.text(j)
	if err != nil {
		return err
	}
	// curl -d '{…}' says "form" by itself, and backends that read the body themselves see JSON.
	pair := j.field
	if begins, _ := beginsLikeJSON(text); begins && !j.guard.json.Empty() {
		if err := strictly(j, text); err != nil {
			return err
		}
		pair = j.afterJSON()
	}
	err = splitForm(text, pair)
	switch {
	case errors.Is(err, errForm):
		return bodyMalformed(j.ex, err)
	case errors.Is(err, errManyPairs):
		return bodyTooComplex(j.ex, err)
	}
	return err
}

// afterJSON judges the fields of a form that is a JSON document as well. The name of the first
// is the document's beginning: judged already, and as a name it means nothing to anybody.
func (j *judge) afterJSON() func(name, text string) error {
	first := true
	return func(name, text string) error {
		if first {
			first = false
			return j.keepField(name, text)
		}
		return j.field(name, text)
	}
}

// strictly guards a text that must be JSON since it begins so.
func strictly(j *judge, text string) error {
	return notJSON(j.ex, strictjson.Walk(text, strictjson.Limits{}, j.guardValue))
}

func (r *Reader) multipart(j *judge, boundary string) error {
	parser := newMultipartParser(boundary, r.judged)
	parser.begin, parser.field = j.beginPart, j.part
	body, err := j.ex.Body.Open()
	if err != nil {
		return err
	}
	defer body.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		if bad := parser.feed(buf[:n]); bad != nil {
			return badMultipart(j.ex, bad)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	return badMultipart(j.ex, parser.finish())
}

func badMultipart(ex *access.Exchange, err error) error {
	switch {
	case errors.Is(err, errMultipart):
		return bodyMalformed(ex, err)
	case errors.Is(err, errTooManyParts), errors.Is(err, errFieldTooLong):
		return bodyTooComplex(ex, err)
	}
	return err
}

// isData says that a part is not a file although it has a file name: scripts that send a JSON
// part give it one ("blob"), and frameworks bind it like a body.
func (j *judge) isData(p part) bool { return isJSON(p.mediaType) && !j.guard.json.Empty() }

func (j *judge) beginPart(p part) (keep bool, err error) {
	if p.file || j.isData(p) {
		return j.isData(p), j.file(p.name)
	}
	return true, nil
}

// part judges and keeps the content of a part.
func (j *judge) part(p part, text string) error {
	if j.isData(p) {
		return j.document(text, p.name)
	}
	return j.field(p.name, text)
}

// disguised looks at a body of another type: JSON that calls itself text is judged as
// JSON; whatever begins like it and does not parse is refused where JSON is guarded.
func (r *Reader) disguised(j *judge, media mediaType) error {
	guarded := !j.guard.json.Empty() || !j.guard.form.Empty()
	if guarded && strings.HasPrefix(media.essence, "multipart/") {
		return typeUnsupported(j.ex, errors.New("a multipart type that cannot be judged"))
	}
	begins, err := bodyBeginsLikeJSON(j.ex.Body.Open)
	if err != nil || !begins || j.guard.json.Empty() && j.ex.Body.Size > r.judged {
		return err
	}
	text, err := r.text(j)
	if err != nil {
		return err
	}
	err = j.document(text, "")
	if j.guard.json.Empty() {
		if refusal, ok := errors.AsType[*access.Refusal](err); ok && refusal.Status < 500 {
			j.values, j.members = nil, nil // not JSON after all, and nothing to guard
			return nil
		}
	}
	return err
}

func bodyBeginsLikeJSON(open func() (io.ReadCloser, error)) (bool, error) {
	body, err := open()
	if err != nil {
		return false, err
	}
	defer body.Close()
	buf := make([]byte, 4<<10)
	var start opening
	for {
		n, err := body.Read(buf)
		begins, undecided := start.feed(buf[:n])
		if !undecided || err == io.EOF {
			return begins, nil
		}
		if err != nil {
			return false, err
		}
	}
}
