package operation

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

// FuzzContentType: what is accepted, mime reads alike.
func FuzzContentType(f *testing.F) {
	for _, seed := range []string{"application/json", typeMult, `text/plain; charset="utf-8"`, "a/b;;c=d; ", "a/b; c*=utf-8''x", `a/b; c="\""`, "a/b, c/d", "text/plain; charset=utf-7", "/0", "a/b; "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got, err := parseMediaType([]string{line})
		if err != nil || got.essence == "" {
			return
		}
		essence, params, stdErr := mime.ParseMediaType(line)
		if stdErr != nil || essence != got.essence {
			t.Fatalf("%q: got %q, mime reads %q, %v", line, got.essence, essence, stdErr)
		}
		if got.boundary != "" && got.boundary != params["boundary"] {
			t.Fatalf("%q: boundary %q, mime reads %q", line, got.boundary, params["boundary"])
		}
		if charset := params["charset"]; charset != "" && !charsetAllowed(got.family(), charset) {
			t.Fatalf("%q passed with charset %q", line, charset)
		}
	})
}

// FuzzPart: what is accepted of a part's headers, mime reads alike.
func FuzzPart(f *testing.F) {
	for _, seed := range []string{
		`Content-Disposition: form-data; name="a"`, "content-disposition:form-data;name=a\r\nContent-Type: text/plain", `Content-Disposition: form-data; name="a"; filename="b"; filename*=utf-8''b`,
		`Content-Disposition: form-data; name=a; filename="x"; filename*=utf-8''`, `Content-Disposition: form-data;; name="a"`,
		`Content-Disposition: form-data; name="a\"b"`, "Content-Disposition: form-data; name=\"a\"\r\n folded", `Content-Disposition: form-data; name="a"; filename="C:\dir\x"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, block string) {
		p, err := parsePart([]byte(block))
		if err != nil {
			return
		}
		var line string
		for l := range strings.SplitSeq(block, "\r\n") {
			name, value, _ := strings.Cut(l, ":")
			if strings.EqualFold(name, "content-disposition") {
				line = value
			}
		}
		kind, params, stdErr := mime.ParseMediaType(line)
		if stdErr != nil || kind != "form-data" || params["name"] != p.name || (params["filename"] != "") != p.file {
			t.Fatalf("%q: got %+v, mime reads %q %v, %v", block, p, kind, params, stdErr)
		}
	})
}

// foreign says whether encoding/json sees the guarded key with anything but the own tenant,
// reading duplicates, trailing documents and bad UTF-8 as leniently as it does.
func foreign(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if strings.EqualFold(key, "tenant_id") && !own(inner) || foreign(inner) {
				return true
			}
		}
	case []any:
		for _, inner := range v {
			if foreign(inner) {
				return true
			}
		}
	}
	return false
}

func own(v any) bool {
	list, ok := v.([]any)
	if !ok {
		return v == "acme"
	}
	for _, inner := range list {
		if !own(inner) {
			return false
		}
	}
	return len(list) > 0
}

// FuzzJSONGuard: if encoding/json sees the guarded key with another value anywhere, in whatever
// type the body came, Complete refuses; and what passes goes out byte for byte.
func FuzzJSONGuard(f *testing.F) {
	for _, seed := range []string{
		`{"tenant_id":"acme"}`, `{"tenant_id":"globex"}`, `{"a":[{"tenant\u005fid":"globex"}]}`, `{"tenant_id":"acme","tenant_id":1}`, ` [[{"Tenant_Id":["acme","globex"]}]]`,
		"{\"tenant_\u0131d\":1}", `{"a":1}{"tenant_id":"globex"}`, "\ufeff{}", `[`, `"x"`, `0{"TenAnt_Id":[]}0`, `{"tenant_id":["acme"]}`, "{\"tenant_id\":\"acme\xff\"}",
	} {
		for kind := range uint8(4) {
			f.Add(seed, kind)
		}
	}
	r, _ := newReader(f, Config{})
	f.Fuzz(func(t *testing.T, body string, kind uint8) {
		contentType := []string{typeJSON, "text/plain", "application/octet-stream", typeMult}[kind%4]
		sent := body
		if contentType == typeMult {
			if strings.Contains(body, boundary) {
				return
			}
			sent = form("name=\"d\"\r\nContent-Type: application/json|" + body)
		}
		ex := exchange(t, contentType, strings.NewReader(sent))
		ex.Route.Body.Stream = kind >= 128
		if err := pass(r, ex); err != nil {
			return
		}
		dec := json.NewDecoder(strings.NewReader(body))
		for {
			var v any
			if dec.Decode(&v) != nil {
				break
			}
			if foreign(v) {
				t.Fatalf("%q passed as %s", body, contentType)
			}
		}
		if ex.Body.Open != nil && !bytes.Equal(forwarded(t, ex), []byte(sent)) {
			t.Fatal("other bytes go out")
		}
	})
}

// FuzzStream: a stream releases the beginning of what came, all of it or an error, and the same
// verdict as when the body is spooled.
func FuzzStream(f *testing.F) {
	for _, seed := range []string{
		form(`name="f"; filename="x"|F`), form(`name="a"|1`, `name="f"; filename="x"|F`, `name="b"|2`), form(`name="f"; filename="x"|F`, `name="c"; filename="y"|`),
		form(`name="f"; filename="x"|F`) + "x", form(`name="f"; filename="x"|F`, `name="tenant_id"|globex`),
	} {
		f.Add(strings.ReplaceAll(seed, boundary, "B"), uint8(7))
	}
	r, _ := newReader(f, Config{})
	f.Fuzz(func(t *testing.T, body string, piece uint8) {
		body = strings.ReplaceAll(body, "--B", "--"+boundary)
		whole := exchange(t, typeMult, strings.NewReader(body))
		wholeErr := pass(r, whole)

		ex := upload(t, typeMult, nil)
		ex.Request.ContentLength = -1
		rest := strings.NewReader(body)
		ex.Request.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) { return rest.Read(p[:min(len(p), int(piece)+1)]) }))
		err := pass(r, ex)
		if err == nil && ex.Body.Stream != nil {
			var got []byte
			got, err = io.ReadAll(ex.Body.Stream)
			if !strings.HasPrefix(body, string(got)) || err == nil && len(got) != len(body) {
				t.Fatalf("%q: released %q, %v", body, got, err)
			}
			if err != nil && len(got) == len(body) {
				t.Fatalf("%q: all of it was released, and then %v", body, err)
			}
		}
		// A field after the first file may be refused where a whole body passes, never the reverse.
		if err == nil && wholeErr != nil {
			t.Fatalf("%q: streamed, but spooled it is %v", body, wholeErr)
		}
		ex.Body.Release()
		whole.Body.Release()
	})
}

// FuzzOperation: a JSON-RPC body that passes has, for encoding/json, exactly the method that the route
// was completed by.
func FuzzOperation(f *testing.F) {
	for _, seed := range []string{
		`{"method":"read"}`, `{"method":"read","method":"delete"}`, `{"m\u0065thod":"read"}`, `{"Method":"delete","method":"read"}`, `[{"method":"read"}]`, `{"method":"read","params":[[1]]}`,
	} {
		f.Add(seed)
	}
	r, _ := newReader(f, Config{})
	f.Fuzz(func(t *testing.T, body string) {
		ex := exchange(t, typeJSON, strings.NewReader(body))
		ex.Route.Operation = &access.Operation{JSONRPC: &access.JSONRPC{Methods: map[string]string{"read": access.ActionRead}, ID: "params.0.0"}}
		if pass(r, ex) != nil {
			return
		}
		var call struct{ Method string } // by name in any case, the last one wins
		if err := json.Unmarshal([]byte(body), &call); err != nil {
			t.Fatalf("%q passed: %v", body, err)
		}
		if ex.Route.ReadOnly != (call.Method == "read") {
			t.Fatalf("%q: %+v, but encoding/json reads %q", body, ex.Route, call.Method)
		}
	})
}
