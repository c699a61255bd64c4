package operation

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/units"
)

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func deflated(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func TestContentTypes(t *testing.T) {
	r, _ := newReader(t, Config{})
	for _, c := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"JSON", []string{"application/json"}, "passed"},
		{"JSON with a charset", []string{`Application/JSON ; Charset="UTF-8";`}, "passed"},
		{"merge patch", []string{"application/merge-patch+json"}, "passed"},
		{"an undeclared type", []string{"application/xml"}, "415 media_type_unsupported"},
		{"XML-RPC's type", []string{"text/xml"}, "415 media_type_unsupported"},
		{"no type", nil, "415 media_type_unsupported"},
		{"an empty type", []string{" "}, "415 media_type_unsupported"},
		{"two types", []string{"application/json", "text/xml"}, "400 content_type_ambiguous"},
		{"the same type twice", []string{"application/json", "application/json"}, "400 content_type_ambiguous"},
		{"two types in a line", []string{"application/json, text/xml"}, "400 content_type_ambiguous"},
		{"no subtype", []string{"json"}, "400 content_type_ambiguous"},
		{"an empty type before the slash", []string{"/json"}, "400 content_type_ambiguous"},
		{"an empty parameter", []string{"application/json;; charset=utf-8"}, "400 content_type_ambiguous"},
		{"an empty subtype", []string{"application/"}, "400 content_type_ambiguous"},
		{"a space in the type", []string{"application/ json"}, "400 content_type_ambiguous"},
		{"a charset twice", []string{"application/json; charset=utf-8; charset=utf-7"}, "400 content_type_ambiguous"},
		{"an extended charset", []string{"application/json; charset*=utf-8''utf-7"}, "400 content_type_ambiguous"},
		{"a parameter without a value", []string{"application/json; charset"}, "400 content_type_ambiguous"},
		{"an open quotation", []string{`application/json; charset="utf-8`}, "400 content_type_ambiguous"},
		{"an escaped parameter", []string{`application/json; charset="utf\-8"`}, "400 content_type_ambiguous"},
		{"single quotes", []string{`application/json; charset='utf-8'`}, "400 content_type_ambiguous"},
		{"UTF-16 JSON", []string{"application/json; charset=utf-16"}, "415 charset_unsupported"},
		{"EBCDIC JSON", []string{"application/json; charset=ibm037"}, "415 charset_unsupported"},
		{"Latin-1 JSON", []string{"application/json; charset=iso-8859-1"}, "415 charset_unsupported"},
		{"UTF-7 text", []string{"text/plain; charset=utf-7"}, "415 charset_unsupported"},
		{"a Latin-1 text", []string{"text/plain; charset=ISO-8859-1"}, "passed"},
		{"a Cyrillic text", []string{"text/plain; charset=windows-1251"}, "passed"},
		{"a Shift_JIS text", []string{"text/plain; charset=shift_jis"}, "415 charset_unsupported"},
	} {
		ex := exchange(t, "", strings.NewReader(`{"a":1}`))
		ex.Request.Header["Content-Type"] = c.lines
		err := pass(r, ex)
		wantVerdict(t, c.name, err, c.want)
		if refusal, ok := errors.AsType[*access.Refusal](err); ok && c.want == "415 media_type_unsupported" &&
			!strings.HasPrefix(refusal.Header.Get("Accept"), "application/json, ") {
			t.Errorf("%s: Accept is %q", c.name, refusal.Header.Get("Accept"))
		}
	}
}

func TestMultipartBoundaries(t *testing.T) {
	r, _ := newReader(t, Config{})
	for name, contentType := range map[string]string{
		"none":                         "multipart/form-data",
		"empty":                        `multipart/form-data; boundary=""`,
		"twice":                        "multipart/form-data; boundary=a; boundary=b",
		"twice in other case":          "multipart/form-data; boundary=a; Boundary=b",
		"extended":                     "multipart/form-data; boundary*=utf-8''a",
		"71 characters":                "multipart/form-data; boundary=" + strings.Repeat("a", 71),
		"with a space":                 `multipart/form-data; boundary="a b"`,
		"with a comma":                 `multipart/form-data; boundary="a,b"`,
		"hidden in another parameter":  `multipart/form-data; x="boundary=a"; boundary=b`,
		"with a quotation mark escape": `multipart/form-data; boundary="a\"b"`,
	} {
		ex := exchange(t, contentType, strings.NewReader("--a\r\n\r\n"))
		wantVerdict(t, "a boundary "+name, pass(r, ex), "400 content_type_ambiguous")
	}
}

func TestNothingIsReadOfWhatIsRefusedByItsHead(t *testing.T) {
	r, _ := newReader(t, Config{})
	for name, change := range map[string]func(ex *access.Exchange){
		"415 media_type_unsupported":       func(ex *access.Exchange) { ex.Request.Header.Set("Content-Type", "text/xml") },
		"413 body_too_large":               func(ex *access.Exchange) { ex.Request.ContentLength = 10<<20 + 1 },
		"415 content_encoding_unsupported": func(ex *access.Exchange) { ex.Request.Header.Set("Content-Encoding", "br") },
	} {
		ex := exchange(t, typeJSON, nil)
		ex.Request.Body = io.NopCloser(readerFunc(func([]byte) (int, error) {
			t.Errorf("%s: the body was read", name)
			return 0, io.EOF
		}))
		change(ex)
		wantVerdict(t, name, r.Read(ex), name)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestTheZeroBodyRuleAllowsNone(t *testing.T) {
	r, _ := newReader(t, Config{})
	for name, c := range map[string]struct {
		contentType string
		body        io.Reader
		rule        access.BodyRule
		want        string
	}{
		"a typed body":            {typeJSON, strings.NewReader("{}"), access.BodyRule{}, "415 media_type_unsupported"},
		"a body without type":     {"", strings.NewReader("{}"), access.BodyRule{}, "413 body_too_large"},
		"a body of unknown size":  {"", unsized("{}"), access.BodyRule{}, "413 body_too_large"},
		"types but no size":       {typeJSON, unsized("{}"), access.BodyRule{Types: []string{typeJSON}}, "413 body_too_large"},
		"an empty chunked body":   {"", unsized(""), access.BodyRule{}, "passed"},
		"an empty body":           {"", strings.NewReader(""), access.BodyRule{}, "passed"},
		"any type where declared": {"image/png", strings.NewReader("x"), access.BodyRule{Types: []string{"*/*"}, Max: 1}, "passed"},
	} {
		ex := exchange(t, c.contentType, c.body)
		ex.Route.Body = c.rule
		wantVerdict(t, name, pass(r, ex), c.want)
	}
}

func TestEmptyBodiesOfDeclaredTypesPass(t *testing.T) {
	r, _ := newReader(t, Config{})
	for _, contentType := range []string{"", typeJSON, typeForm, typeMult, "text/plain"} {
		for _, encoding := range []string{"", "gzip", "deflate"} {
			ex := exchange(t, contentType, unsized(""))
			if encoding != "" {
				ex.Request.Header.Set("Content-Encoding", encoding)
			}
			wantVerdict(t, contentType+" "+encoding, pass(r, ex), "passed")
			if ex.Body.Size != 0 {
				t.Errorf("%s: size %d", contentType, ex.Body.Size)
			}
		}
	}
}

func TestTheSizeIsBoundedHoweverItIsAnnounced(t *testing.T) {
	const most = 200 << 10
	for name, c := range map[string]struct{ body, encoding, want string }{
		"at the bound":               {strings.Repeat("a", most), "", "passed"},
		"one byte over":              {strings.Repeat("a", most+1), "", "413 body_too_large"},
		"inflated to the bound":      {gzipped(strings.Repeat("a", most)), "gzip", "passed"},
		"inflated one byte over":     {gzipped(strings.Repeat("a", most+1)), "gzip", "413 body_too_large"},
		"deflated one byte over":     {deflated(strings.Repeat("a", most+1)), "deflate", "413 body_too_large"},
		"a bomb of 1000:1":           {gzipped(strings.Repeat("\x00", 8<<20)), "gzip", "413 body_too_large"},
		"a bomb in a bomb is opaque": {gzipped(gzipped(strings.Repeat("a", most+1))), "gzip", "passed"},
	} {
		for _, stream := range []bool{false, true} {
			r, spool := newReader(t, Config{})
			ex := exchange(t, "application/octet-stream", unsized(c.body))
			ex.Route.Body.Max, ex.Route.Body.Stream = most, stream
			if c.encoding != "" {
				ex.Request.Header.Set("Content-Encoding", c.encoding)
			}
			err := pass(r, ex)
			if err == nil && stream {
				_, err = io.Copy(io.Discard, ex.Body.Stream)
			}
			wantVerdict(t, fmt.Sprintf("%s, streamed %v", name, stream), err, c.want)
			noLeak(t, ex, spool)
		}
	}
}

func TestTheRatioOfInflatingIsBoundedOnLargeRoutes(t *testing.T) {
	r, _ := newReader(t, Config{Memory: 4 * units.KiB})
	ex := exchange(t, "application/octet-stream", unsized(gzipped(strings.Repeat("\x00", 4<<20))))
	ex.Route.Body.Max = 1 << 30
	ex.Request.Header.Set("Content-Encoding", "gzip")
	err := r.Read(ex)
	wantVerdict(t, "1000:1 below the bound of the route", err, "413 body_too_large")
	if !errors.Is(err, errRatio) {
		t.Errorf("refused for another reason: %v", err)
	}
	honest := make([]byte, 2<<20) // 2:1
	for i := range honest {
		honest[i] = "0123456789abcdef"[rand.IntN(16)]
	}
	ex = exchange(t, "application/octet-stream", unsized(gzipped(string(honest))))
	ex.Request.Header.Set("Content-Encoding", "gzip")
	wantVerdict(t, "an honest ratio", r.Read(ex), "passed")
}

func TestContentEncodings(t *testing.T) {
	const plain = `{"name":"ACME"}`
	r, _ := newReader(t, Config{})
	for _, c := range []struct {
		name  string
		lines []string
		body  string
		want  string
	}{
		{"identity", []string{"identity"}, plain, "passed"},
		{"gzip", []string{"gzip"}, gzipped(plain), "passed"},
		{"x-gzip in capitals", []string{" X-GZIP "}, gzipped(plain), "passed"},
		{"gzip in two members", []string{"gzip"}, gzipped(plain[:5]) + gzipped(plain[5:]), "passed"},
		{"deflate", []string{"deflate"}, deflated(plain), "passed"},
		{"brotli", []string{"br"}, plain, "415 content_encoding_unsupported"},
		{"zstd", []string{"zstd"}, plain, "415 content_encoding_unsupported"},
		{"two encodings", []string{"gzip, deflate"}, plain, "415 content_encoding_unsupported"},
		{"two lines", []string{"gzip", "identity"}, gzipped(plain), "415 content_encoding_unsupported"},
		{"chunked as an encoding", []string{"chunked"}, plain, "415 content_encoding_unsupported"},
		{"gzip that is none", []string{"gzip"}, plain, "400 body_malformed"},
		{"gzip with data behind", []string{"gzip"}, gzipped(plain) + "{}", "400 body_malformed"},
		{"gzip cut short", []string{"gzip"}, gzipped(plain)[:20], "400 body_malformed"},
		{"gzip cut short in its header", []string{"gzip"}, gzipped(plain)[:1], "400 body_malformed"},
		{"deflate cut short in its header", []string{"deflate"}, deflated(plain)[:1], "400 body_malformed"},
		{"gzip without its checksum", []string{"gzip"}, gzipped(plain)[:len(gzipped(plain))-8], "400 body_malformed"},
		{"deflate with data behind", []string{"deflate"}, deflated(plain) + "{}", "400 body_malformed"},
		{"deflate cut short", []string{"deflate"}, deflated(plain)[:8], "400 body_malformed"},
		{"a guarded field inside gzip", []string{"gzip"}, gzipped(`{"tenant_id":"globex"}`), "403 tenant_mismatch"},
	} {
		ex := exchange(t, typeJSON, strings.NewReader(c.body))
		ex.Request.Header["Content-Encoding"] = c.lines
		err := pass(r, ex)
		wantVerdict(t, c.name, err, c.want)
		if err == nil && (string(forwarded(t, ex)) != plain || ex.Request.Header["Content-Encoding"] != nil ||
			ex.Request.Header.Get("Content-Length") != fmt.Sprint(len(plain)) || ex.Body.Size != int64(len(plain))) {
			t.Errorf("%s: forwarded %q as %v", c.name, forwarded(t, ex), ex.Request.Header)
		}
		if refusal, ok := errors.AsType[*access.Refusal](err); ok && refusal.Status == 415 && refusal.Header.Get("Accept-Encoding") == "" {
			t.Errorf("%s: the answer does not say what is accepted", c.name)
		}
	}
}

func TestReadErrorsAreTheClients(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"the connection broke":     {io.ErrUnexpectedEOF, "400 body_incomplete"},
		"a bad chunk":              {errors.New("invalid byte in chunk length"), "400 body_incomplete"},
		"too slow":                 {fmt.Errorf("read: %w", os.ErrDeadlineExceeded), "408 body_timeout"},
		"over the server's bound":  {&http.MaxBytesError{Limit: 1}, "413 body_too_large"},
		"the request was canceled": {context.Canceled, "400 body_incomplete"},
	} {
		for _, contentType := range []string{typeJSON, typeMult, "application/octet-stream", ""} {
			for _, stream := range []bool{false, true} {
				for _, encoding := range []string{"", "gzip"} {
					r, spool := newReader(t, Config{})
					ex := exchange(t, contentType, nil)
					ex.Request.ContentLength = -1
					// The read after that fails: within a document, a field, a compressed stream.
					start := map[string]string{"": `{"a":`, "gzip": gzipped(strings.Repeat("x", 100))[:15]}[encoding]
					if contentType == typeMult && encoding == "" {
						start = form(`name="a"|b`)[:60]
					}
					if contentType == "" {
						start, encoding = "", ""
					}
					ex.Request.Body = io.NopCloser(io.MultiReader(strings.NewReader(start), readerFunc(func([]byte) (int, error) { return 0, c.err })))
					ex.Route.Body.Stream = stream
					if encoding != "" {
						ex.Request.Header.Set("Content-Encoding", encoding)
					}
					err := pass(r, ex)
					if err == nil && ex.Body.Stream != nil {
						_, err = io.Copy(io.Discard, ex.Body.Stream)
					}
					wantVerdict(t, fmt.Sprintf("%s, %s, stream %v, encoding %q", name, contentType, stream, encoding), err, c.want)
					noLeak(t, ex, spool)
				}
			}
		}
	}
}

func TestABodyThatIsNotAsLongAsItSaysIsIncomplete(t *testing.T) {
	r, _ := newReader(t, Config{})
	for name, length := range map[string]int64{"shorter": 20, "longer": 5} {
		for _, stream := range []bool{false, true} {
			ex := exchange(t, "application/octet-stream", strings.NewReader("ten bytes."))
			ex.Request.ContentLength = length
			ex.Route.Body.Stream = stream
			err := pass(r, ex)
			if err == nil && stream {
				_, err = io.Copy(io.Discard, ex.Body.Stream)
			}
			wantVerdict(t, fmt.Sprintf("%s, stream %v", name, stream), err, "400 body_incomplete")
		}
	}
}

// TestBrokenClientsOnARealConnection shows that the server's own errors are mapped: a short
// body, a bad chunk, and Expect: 100-continue.
func TestBrokenClientsOnARealConnection(t *testing.T) {
	r, _ := newReader(t, Config{})
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ex := exchange(t, "", nil)
		ex.Request = req
		got <- verdict(pass(r, ex)) + " " + valuesText(ex)
	}))
	defer server.Close()
	for name, c := range map[string]struct{ head, want string }{
		"a short body":     {"Content-Length: 20\r\n\r\n{\"a\"", "400 body_incomplete "},
		"a bad chunk":      {"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", "400 body_incomplete "},
		"a cut chunk":      {"Transfer-Encoding: chunked\r\n\r\n9\r\n{}", "400 body_incomplete "},
		"a whole body":     {"Content-Length: 7\r\n\r\n{\"a\":1}", "passed a=1;"},
		"chunks":           {"Transfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n5\r\na\":1}\r\n0\r\n\r\n", "passed a=1;"},
		"100-continue":     {"Expect: 100-continue\r\nContent-Length: 7\r\n\r\n", "passed a=1;"},
		"too long by head": {"Content-Length: 99999999999\r\n\r\n", "413 body_too_large "},
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: crm.test\r\nContent-Type: application/json\r\n%s", c.head)
		if name == "100-continue" {
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
				t.Errorf("%s: %q, %v", name, line, err)
			}
			io.WriteString(conn, `{"a":1}`)
		}
		conn.(*net.TCPConn).CloseWrite()
		if verdict := <-got; verdict != c.want {
			t.Errorf("%s: got %q, want %q", name, verdict, c.want)
		}
		conn.Close()
	}
}

func TestRefusalsOfStrangersAreCountedAndOfUsersAudited(t *testing.T) {
	r, _ := newReader(t, Config{})
	for _, known := range []bool{true, false} {
		ex := exchange(t, typeJSON, strings.NewReader(`{"a":`))
		if !known {
			ex.Identity, ex.Route.Class = nil, access.Portal
		}
		refusal, ok := errors.AsType[*access.Refusal](pass(r, ex))
		if !ok || refusal.Counted == known {
			t.Errorf("known %v: %+v", known, refusal)
		}
	}
}
