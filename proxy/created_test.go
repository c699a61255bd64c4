package proxy

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

func TestTheIDOfWhatIsCreatedComesFromTheAnswer(t *testing.T) {
	large := `{"id":"c-9","text":"` + strings.Repeat("x", maxCreated) + `"}`
	for _, c := range []struct {
		name, method, target, location, kind, body string
		status                                     int
		want                                       string
	}{
		{"a member", "POST", "/api/contacts", "", "application/json", `{"name":"x","id":"c-9"}`, 200, "c-9"},
		{"a number", "POST", "/api/contacts", "", "application/json; charset=utf-8", `{"id":42}`, 201, "42"},
		{"a Location", "POST", "/api/contacts", "/api/contacts/c-7", "text/html", "made", 201, "c-7"},
		{"a redirect to it", "POST", "/api/contacts", "/api/contacts/c-7", "text/html", "", 303, "c-7"},
		{"a redirect of a form", "POST", "/deals/card.php?action=add", "/deals/card.php?id=12", "text/html", "", 302, "12"},
		{"a Location of another type", "POST", "/api/contacts", "/api/search", "text/html", "", 303, ""},
		{"an id further down", "POST", "/api/contacts", "", "application/json", `{"owner":{"id":"u-1"}}`, 200, ""},
		{"two ids", "POST", "/api/contacts", "", "application/json", `{"id":"a","x":1,"id":"b"}`, 200, ""},
		{"no JSON", "POST", "/api/contacts", "", "application/json", `{"id":`, 200, ""},
		{"a failure", "POST", "/api/contacts", "", "application/json", `{"id":"c-9"}`, 422, ""},
		{"too large to read", "POST", "/api/contacts", "", "application/json", large, 200, ""},
		{"an update keeps its own", "PATCH", "/api/contacts/7", "", "application/json", `{"id":"other"}`, 200, "7"},
	} {
		backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "" && r.Method == "POST" {
				t.Errorf("%s: the backend may compress the answer", c.name)
			}
			w.Header().Set("Content-Type", c.kind)
			if c.location != "" {
				w.Header().Set("Location", c.location)
			}
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		}))
		var got string
		h := newHouse(t, func(cfg *Config, r *Rooms) {
			cfg.Sites[0].Upstreams = []string{backend.URL}
			form := cfg.Sites[0].Resources[3].Form
			form.Actions["create"] = []string{"add"}
			r.Audit = &seenEnd{r.Audit, func(ex *access.Exchange) { got = ex.Route.ID }}
		})
		req := request(c.method, c.target, "a=1")
		if strings.Contains(c.target, "action=") {
			req = request(c.method, c.target, "")
		}
		req.Header.Set("Accept-Encoding", "gzip")
		w := h.do(req)
		backend.Close()
		if got != c.want {
			t.Errorf("%s: the event is about %q, want %q", c.name, got, c.want)
		}
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s: the client gets %d and %d bytes, want %d and %d", c.name, w.Code, w.Body.Len(), c.status, len(c.body))
		}
	}
}

// seenEnd looks at the exchange when its event is ended.
type seenEnd struct {
	Recorder
	end func(*access.Exchange)
}

func (s *seenEnd) Finish(ctx context.Context, ex *access.Exchange, outcome access.Outcome, status int) {
	s.end(ex)
	s.Recorder.Finish(ctx, ex, outcome, status)
}

func TestTheIDOfAJSONRPCAnswer(t *testing.T) {
	for text, want := range map[string]string{
		`{"id":0,"result":[17]}`: "17", `{"id":0,"result":17}`: "17", `{"id":0,"result":"x-1"}`: "x-1", `{"id":0,"result":null}`: "",
		`{"id":0,"error":["UserError",[]]}`: "", `{"id":0,"result":[[1]]}`: "", `[]`: "",
	} {
		if got := createdID(text, true); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
