package operation

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sallyport/sallyport/access"
)

// upload is an exchange of a stream: true route whose WAF lets late fields pass.
func upload(t testing.TB, contentType string, body io.Reader) *access.Exchange {
	ex := exchange(t, contentType, body)
	ex.Route.Body.Max, ex.Route.Body.Stream = 1<<30, true
	ex.Body.LateField = func(access.Value) error { return nil }
	return ex
}

// noise is content that begins many delimiters and finishes none.
func noise(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString([]string{"\r\n--", boundary[:rand.IntN(len(boundary))], "\r", "\n", "--", "x"}[rand.IntN(6)])
	}
	return b.String()[:n]
}

func TestAnUploadPassesByteForByte(t *testing.T) {
	for name, c := range map[string]struct{ body, values, late string }{
		"a large file":          {form(`name="folder"|7`, `name="f"; filename="a.bin"|`+noise(300<<10)), "folder=7;", ""},
		"an empty file":         {form(`name="f"; filename="a.bin"|`), "", ""},
		"no field":              {form(`name="f"; filename="a.bin"|x`), "", ""},
		"fields behind":         {form(`name="a"|1`, `name="f"; filename="a"|`+noise(99), `name="b"|2`, `name="g"; filename="b"|`+noise(200<<10), `name="c"|`+noise(50<<10), `name="d"|4`), "a=1;", "b d"},
		"JSON behind":           {form(`name="f"; filename="a"|x`, "name=\"j\"; filename=\"blob\"\r\nContent-Type: application/json|{\"a\":{\"b\":1}}"), "", "j.a.b"},
		"no line end at an end": {strings.TrimSuffix(form(`name="f"; filename="a"|x`), "\r\n"), "", ""},
	} {
		for _, sized := range []bool{true, false} {
			for kind, wrap := range map[string]func(io.Reader) io.Reader{
				"as it comes": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "with data and end together": iotest.DataErrReader, "in halves": iotest.HalfReader} {
				r, spool := newReader(t, Config{})
				ex := upload(t, typeMult, unsized(c.body))
				ex.Request.Body = io.NopCloser(wrap(strings.NewReader(c.body)))
				want := int64(-1)
				if sized {
					want = int64(len(c.body))
				}
				ex.Request.ContentLength = want
				var late []string
				ex.Body.LateField = func(v access.Value) error { late = append(late, v.Path); return nil }
				name := fmt.Sprintf("%s, sized %v, %s", name, sized, kind)
				if err := pass(r, ex); err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if ex.Body.Stream == nil || ex.Body.Open != nil || ex.Body.Size != want || len(late) != 0 {
					t.Errorf("%s: %+v, late %v", name, ex.Body, late)
				}
				got, err := io.ReadAll(ex.Body.Stream)
				if err != nil || string(got) != c.body {
					t.Errorf("%s: %d of %d bytes, %v", name, len(got), len(c.body), err)
				}
				if valuesText(ex) != c.values {
					t.Errorf("%s: values %q, want %q", name, valuesText(ex), c.values)
				}
				if c.late != "" && strings.Join(slices.DeleteFunc(late, func(s string) bool { return s == "c" }), " ") != c.late {
					t.Errorf("%s: late fields %q, want %q", name, late, c.late)
				}
				noLeak(t, ex, spool)
			}
		}
	}
}

func TestAnUploadWithoutAFileIsJudgedAsAWhole(t *testing.T) {
	r, _ := newReader(t, Config{})
	body := form(`name="a"|1`, `name="b"|2`)
	ex := upload(t, typeMult, unsized(body))
	if err := pass(r, ex); err != nil || ex.Body.Stream != nil || string(forwarded(t, ex)) != body || valuesText(ex) != "a=1;b=2;" {
		t.Errorf("got %v, %+v", err, ex.Body)
	}
}

func TestJSONOnAStreamRouteIsJudgedAsAWhole(t *testing.T) {
	r, _ := newReader(t, Config{Judged: 64 << 10})
	ex := upload(t, typeJSON, unsized(`{"a":1}`))
	if err := pass(r, ex); err != nil || ex.Body.Stream != nil || valuesText(ex) != "a=1;" {
		t.Errorf("got %v, %+v", err, ex.Body)
	}
	wantVerdict(t, "larger than is judged", r.Read(upload(t, typeJSON, unsized(`["`+strings.Repeat("x", 64<<10)+`"]`))), "413 body_too_large")
}

func TestFieldsBeforeTheFirstFileAreJudgedBeforeTheBackendIsCalled(t *testing.T) {
	r, spool := newReader(t, Config{})
	file := `name="f"; filename="a"|x`
	for name, c := range map[string][2]string{
		"another tenant":             {form(`name="tenant_id"|globex`, file), "403 tenant_mismatch"},
		"another tenant in JSON":     {form("name=\"j\"\r\nContent-Type: application/json|{\"tenant_id\":\"globex\"}", file), "403 tenant_mismatch"},
		"a file by a guarded name":   {form(`name="tenant_id"; filename="a"|acme`), "403 tenant_mismatch"},
		"a JSON by a guarded name":   {form("name=\"tenant_id\"\r\nContent-Type: application/json|1", file), "403 tenant_mismatch"},
		"another method":             {form(`name="_method"|DELETE`, file), "400 method_override"},
		"a malformed part":           {form(`name="a"; name="b"|1`, file), "400 body_malformed"},
		"a long field":               {form(`name="a"|`+strings.Repeat("x", 128<<10), file), "413 body_too_complex"},
		"many long fields":           {form(`name="a"|`+strings.Repeat("x", 100<<10), `name="b"|`+strings.Repeat("x", 100<<10), file), "413 body_too_complex"},
		"the own tenant":             {form(`name="tenant_id"|acme`, file), "passed"},
		"fields of just under 128KB": {form(`name="a"|`+strings.Repeat("x", 125<<10), file), "passed"},
	} {
		ex := upload(t, typeMult, unsized(c[0]))
		wantVerdict(t, name, pass(r, ex), c[1])
		noLeak(t, ex, spool)
	}
}

// TestWhatComesLateIsJudgedBeforeItIsReleased shows the promise of streams: the backend never sees
// a complete body that was refused, nor any byte of the part that was refused.
func TestWhatComesLateIsJudgedBeforeItIsReleased(t *testing.T) {
	waf := access.Refuse(403, "waf_blocked", "", "")
	for _, c := range []struct {
		name, late, want string
		lateField        func(access.Value) error
	}{
		{"another tenant", `name="tenant_id"|globex`, "403 tenant_mismatch", nil},
		{"the own tenant, too late", `name="tenant_id"|acme`, "403 tenant_mismatch", nil},
		{"a guarded element", `name="a[tenant_id]"|globex`, "403 tenant_mismatch", nil},
		{"a file by a guarded name", `name="tenant_id"; filename="x"|globex`, "403 tenant_mismatch", nil},
		{"another tenant in JSON", "name=\"j\"\r\nContent-Type: application/json|{\"tenant_id\":\"globex\"}", "403 tenant_mismatch", nil},
		{"another tenant in a JSON text", `name="j"|{"tenant_id":"globex"}`, "403 tenant_mismatch", nil},
		{"the operation", `name="action"|delete`, "400 operation_ambiguous", nil},
		{"the operation in another case", `name="ACTION"|delete`, "400 operation_ambiguous", nil},
		{"the id", `name="id"|5`, "400 operation_ambiguous", nil},
		{"another method", `name="_method"|DELETE`, "400 operation_ambiguous", nil},
		{"a malformed part", `name="a"; name="b"|globex`, "400 body_malformed", nil},
		{"a long field", `name="a"|globex` + strings.Repeat("x", 128<<10), "413 body_too_complex", nil},
		{"what the WAF refuses", `name="a"|globex`, "403 waf_blocked", func(access.Value) error { return waf }},
		{"what the WAF cannot judge", `name="a"|globex`, "503 body_inspection", func(access.Value) error { return errors.New("broken") }},
		{"no WAF at all", `name="a"|globex`, "400 field_after_file", func(access.Value) error { panic("replaced by nil") }},
	} {
		for _, size := range []int{10, 100 << 10} {
			r, spool := newReader(t, Config{})
			first, after := `name="f"; filename="x"|`+strings.Repeat("F", size), `name="g"; filename="y"|`+strings.Repeat("G", 100<<10)
			ex := upload(t, typeMult, unsized(form(first, c.late, after)))
			ex.Route.Operation = &access.Operation{Form: &access.FormAction{Parameter: "action", ID: "id"}}
			ex.Target.Query = []access.Pair{{Name: "action", Value: "upload"}}
			if c.lateField != nil {
				ex.Body.LateField = c.lateField
			}
			if c.name == "no WAF at all" {
				ex.Body.LateField = nil
			}
			if err := pass(r, ex); err != nil {
				t.Fatalf("%s: refused before the stream: %v", c.name, err)
			}
			got, err := io.ReadAll(ex.Body.Stream)
			wantVerdict(t, c.name, err, c.want)
			if size == 10 && c.name == "another tenant" && len(got) != 0 {
				t.Errorf("%d bytes were released of a piece that was refused", len(got))
			}
			if _, again := ex.Body.Stream.Read(make([]byte, 10)); again != err {
				t.Errorf("%s: the error does not stay: %v", c.name, again)
			}
			released := string(got)
			if strings.Contains(released, "globex") || strings.Count(released, "form-data") > 1 || strings.Contains(released, boundary+"--") || strings.Contains(released, "G") {
				t.Errorf("%s: %d bytes were released, among them what was refused", c.name, len(got))
			}
			noLeak(t, ex, spool)
		}
	}
}

func TestTheEndOfAnUploadIsHeldBackUntilTheBodyHasEnded(t *testing.T) {
	good := form(`name="f"; filename="x"|` + strings.Repeat("F", 100<<10))
	for name, c := range map[string][2]string{
		"no last delimiter":  {good[:len(good)-len(boundary)-6], "400 body_malformed"},
		"half a delimiter":   {good[:len(good)-6], "400 body_malformed"},
		"data behind":        {good + "x", "400 body_malformed"},
		"a second form":      {good + good, "400 body_malformed"},
		"larger than it may": {form(`name="f"; filename="x"|` + strings.Repeat("F", 300<<10)), "413 body_too_large"},
	} {
		r, _ := newReader(t, Config{})
		ex := upload(t, typeMult, unsized(c[0]))
		ex.Route.Body.Max = 250 << 10
		if err := pass(r, ex); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := io.ReadAll(ex.Body.Stream)
		wantVerdict(t, name, err, c[1])
		if strings.HasSuffix(strings.TrimRight(string(got), "\r\n"), "--") {
			t.Errorf("%s: the last delimiter was released", name)
		}
	}
	// Everything but the client's end of the body has come: the last delimiter waits.
	r, _ := newReader(t, Config{})
	reader, writer := io.Pipe()
	ex := upload(t, typeMult, struct{ io.Reader }{reader})
	go func() {
		io.WriteString(writer, good)
		writer.CloseWithError(io.ErrUnexpectedEOF)
	}()
	if err := pass(r, ex); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(ex.Body.Stream)
	wantVerdict(t, "a client that goes away at the very end", err, "400 body_incomplete")
	if strings.Contains(string(got), boundary+"--") {
		t.Error("the last delimiter was released before the body had ended")
	}
}

func TestAStreamThatWasNotJudgedGivesNothingLate(t *testing.T) {
	r, _ := newReader(t, Config{})
	ex := upload(t, typeMult, unsized(form(`name="f"; filename="x"|F`, `name="a"|b`)))
	if err := r.Read(ex); err != nil { // and no Complete
		t.Fatal(err)
	}
	if _, err := io.ReadAll(ex.Body.Stream); verdict(err) != "503 body_unavailable" {
		t.Errorf("got %v", err)
	}
}

// letters is an endless file.
type letters struct{ n int64 }

func (l *letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a' + byte(i%26)
	}
	l.n += int64(len(p))
	return len(p), nil
}

func TestALongUploadNeedsNoMoreMemoryThanAShortOne(t *testing.T) {
	r, spool := newReader(t, Config{})
	const size = 64 << 20
	head := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n"
	var late strings.Builder
	for range 4_000 {
		fmt.Fprintf(&late, "\r\n--%s\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n%s", boundary, strings.Repeat("v", 1_000))
	}
	body := io.MultiReader(strings.NewReader(head), io.LimitReader(&letters{}, size), strings.NewReader(late.String()), strings.NewReader("\r\n--"+boundary+"--\r\n"))
	ex := upload(t, typeMult, body)
	if err := pass(r, ex); err != nil {
		t.Fatal(err)
	}
	held := spool.memory.used
	var most int64
	buf := make([]byte, 32<<10)
	for {
		_, err := ex.Body.Stream.Read(buf)
		most = max(most, spool.memory.used)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s := ex.Body.Stream.(*multipartStream)
	if len(s.judge.values)+len(s.judge.members) > 1 { // the file's name
		t.Errorf("%d values and %d members of late fields are kept", len(s.judge.values), len(s.judge.members))
	}
	if most > held+10_000 || spool.disk.used != 0 {
		t.Errorf("%d bytes were held at the beginning, %d later, %d on disk", held, most, spool.disk.used)
	}
	if room := int64(cap(s.room) + cap(s.parser.room) + cap(s.parser.content)); room > held {
		t.Errorf("buffers of %d bytes, charged %d", room, held)
	}
	noLeak(t, ex, spool)
}

func TestAnOpaqueBodyStreams(t *testing.T) {
	r, spool := newReader(t, Config{})
	for name, body := range map[string]string{"binary": "\x00\x01\x02" + noise(300<<10), "short": "x", "text": "Dear {name}", "white space first": strings.Repeat(" ", 1000) + "x"} {
		ex := upload(t, "application/octet-stream", unsized(body))
		if err := pass(r, ex); err != nil || ex.Body.Stream == nil {
			t.Errorf("%s: %v, %+v", name, err, ex.Body)
			continue
		}
		if got, err := io.ReadAll(ex.Body.Stream); err != nil || string(got) != body {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		noLeak(t, ex, spool)
	}
	ex := upload(t, "multipart/mixed; boundary=x", unsized("--x--\r\n"))
	ex.Route.Body.Types = []string{"*/*"}
	wantVerdict(t, "a multipart type that cannot be judged", pass(r, ex), "415 media_type_unsupported")
}

func TestAnUploadIsInflatedAsItPasses(t *testing.T) {
	r, _ := newReader(t, Config{})
	plain := form(`name="a"|1`, `name="f"; filename="x"|`+noise(200<<10))
	ex := upload(t, typeMult, strings.NewReader(gzipped(plain)))
	ex.Request.Header.Set("Content-Encoding", "gzip")
	if err := pass(r, ex); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(ex.Body.Stream)
	if err != nil || string(got) != plain || ex.Body.Size != -1 || ex.Request.ContentLength != -1 ||
		ex.Request.Header["Content-Encoding"] != nil || ex.Request.Header["Content-Length"] != nil {
		t.Errorf("%d of %d bytes, %v, size %d, headers %v", len(got), len(plain), err, ex.Body.Size, ex.Request.Header)
	}
}

// TestARefusedUploadAbortsTheBackendsRequest shows over a real connection that the backend's read
// fails, and that the refusal comes out of RoundTrip as it is.
func TestARefusedUploadAbortsTheBackendsRequest(t *testing.T) {
	type seen struct {
		body string
		err  error
	}
	backend := make(chan seen, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		backend <- seen{string(body), err}
	}))
	defer server.Close()
	for _, sized := range []bool{true, false} {
		r, _ := newReader(t, Config{})
		body := form(`name="f"; filename="x"|`+strings.Repeat("F", 1<<20), `name="tenant_id"|globex`)
		ex := upload(t, typeMult, unsized(body))
		if sized {
			ex.Request.ContentLength = int64(len(body))
		}
		if err := pass(r, ex); err != nil {
			t.Fatal(err)
		}
		out, err := http.NewRequestWithContext(t.Context(), "POST", server.URL, ex.Body.Stream)
		if err != nil {
			t.Fatal(err)
		}
		out.ContentLength = ex.Body.Size
		transport := &http.Transport{}
		_, err = transport.RoundTrip(out)
		transport.CloseIdleConnections()
		wantVerdict(t, fmt.Sprintf("RoundTrip, sized %v", sized), err, "403 tenant_mismatch")
		if got := <-backend; got.err == nil || strings.Contains(got.body, "globex") {
			t.Errorf("sized %v: the backend got %d bytes and %v", sized, len(got.body), got.err)
		}
	}
}
