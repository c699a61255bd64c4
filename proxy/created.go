package proxy

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/strictjson"
)

// maxCreated bounds how much of an answer is read for the id of what was created, in bytes.
const maxCreated = 64 << 10

// creates says whether the backend is to choose the id of what the request makes, so that
// only its answer tells which thing the audit event is about.
func creates(route *access.Route) bool {
	return route.Class == access.App && route.Action == access.ActionCreate && !route.ReadOnly && route.ID == ""
}

// learnID takes the id from the answer: from its Location, or from JSON: the member "id" of a
// REST answer, "result" or its first element of a JSON-RPC answer. An answer that tells none
// leaves the event without one; nothing is refused for it, because the deed is done.
func (g *passage) learnID(res *http.Response) {
	route := &g.ex.Route
	if !creates(route) || res.StatusCode >= 400 {
		return
	}
	if id := g.at.site.idAt(res.Header.Get("Location"), route.Resource); id != "" {
		route.ID = boundedID(id)
		return
	}
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || res.Header.Get("Content-Encoding") != "" {
		return
	}
	start, err := io.ReadAll(io.LimitReader(res.Body, maxCreated+1))
	rest := io.Reader(res.Body)
	if err != nil {
		rest = failing{err} // the client learns where the backend broke off, as without us
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(start), rest), res.Body}
	if err == nil && len(start) <= maxCreated {
		route.ID = boundedID(createdID(string(start), route.Operation != nil && route.Operation.JSONRPC != nil))
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// idAt gives the id that an address names, if it is one of a resource of that type.
func (s *site) idAt(location, kind string) string {
	u, err := url.Parse(location)
	if location == "" || err != nil || u.Path == "" || u.Path[0] != '/' {
		return ""
	}
	for i := range s.resources {
		r := &s.resources[i]
		if r.kind != kind {
			continue
		}
		if r.form != nil {
			if _, ok := r.item.match(u.Path); ok && r.form.ID != "" {
				return u.Query().Get(r.form.ID)
			}
			continue
		}
		if params, ok := r.item.match(u.Path); ok && len(params) > 0 {
			return params[len(params)-1].Value
		}
	}
	return ""
}

// createdID finds the id in a JSON answer; "" when there is none, or the document cannot be
// read in one way.
func createdID(text string, rpc bool) (id string) {
	err := strictjson.Walk(text, strictjson.Limits{}, func(v strictjson.Value) error {
		if v.Kind != strictjson.String && v.Kind != strictjson.Number {
			return nil
		}
		switch path := v.Path(); {
		case !rpc && v.Depth == 1 && path == "id", rpc && v.Depth == 1 && path == "result", rpc && v.Depth == 2 && path == "result.0":
			id = v.Text
		}
		return nil
	})
	if err != nil {
		return ""
	}
	return id
}
