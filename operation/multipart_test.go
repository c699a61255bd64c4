package operation

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strings"
	"testing"
)

func TestMultipartFieldsBecomeValuesAndFilesDoNot(t *testing.T) {
	r, _ := newReader(t, Config{})
	body := form(`name="name"|ACME GmbH`, `name="empty"|`, `name="doc"; filename="O'Brien offer.pdf"`+"\r\nContent-Type: application/pdf|%PDF-1.7 secret",
		`name="doc2"; filename="a.bin"; filename*=UTF-8''%c3%a4.bin|x`, `name="nofile"; filename=""|`, "name=\"t\"\r\nContent-Type: text/plain; charset=utf-8|Stra\u00dfe\r\n--\r\n",
		"name=\"j\"\r\nContent-Type: application/json|{\"a\":[1]}", `name=token|v`)
	ex := exchange(t, typeMult, unsized(body))
	if err := pass(r, ex); err != nil {
		t.Fatal(err)
	}
	if got, want := valuesText(ex), "name=ACME GmbH;empty=;nofile=;t=Straße\r\n--\r\n;j.a.0=1;token=v;"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if string(forwarded(t, ex)) != body {
		t.Error("other bytes go out")
	}
}

func TestMultipartAsBrowsersSendIt(t *testing.T) {
	r, _ := newReader(t, Config{})
	for name, body := range map[string]string{
		"an empty form":            "--" + boundary + "--\r\n",
		"no line end at the end":   strings.TrimSuffix(form(`name="a"|b`), "\r\n"),
		"an empty line before":     "\r\n" + form(`name="a"|b`),
		"a part with its length":   form("name=\"a\"\r\nContent-Length: 1|b"),
		"binary transfer encoding": form("name=\"a\"\r\nContent-Transfer-Encoding: binary|b"),
		"dashes in the content":    form(`name="a"|` + strings.Repeat("-", 500) + "\r\n--\r\n"),
	} {
		wantVerdict(t, name, pass(r, exchange(t, typeMult, unsized(body))), "passed")
	}
}

func TestAmbiguousMultipartIsRefused(t *testing.T) {
	r, _ := newReader(t, Config{Memory: 128 << 10})
	ok := form(`name="a"|b`)
	delimiter := "--" + boundary
	for name, body := range map[string]string{
		"a preamble":                              "hello\r\n" + ok,
		"an epilogue":                             ok + "x",
		"a second form behind":                    ok + ok,
		"no delimiter":                            "a=b",
		"another boundary":                        strings.ReplaceAll(ok, boundary, "other"),
		"no end":                                  strings.TrimSuffix(ok, delimiter+"--\r\n"),
		"half an end":                             strings.TrimSuffix(ok, "-\r\n"),
		"half a line end at the end":              strings.TrimSuffix(ok, "\n"),
		"line feeds alone":                        strings.ReplaceAll(ok, "\r\n", "\n"),
		"a delimiter after a line feed":           strings.Replace(ok, "b\r\n", "b\n", 1),
		"a delimiter after a carriage return":     strings.Replace(ok, "b\r\n", "b\r", 1),
		"a delimiter that ends with a line feed":  strings.Replace(ok, delimiter+"\r\n", delimiter+"\n", 1),
		"a padded delimiter":                      strings.Replace(ok, delimiter+"\r\n", delimiter+" \r\n", 1),
		"a longer delimiter in a file":            form(`name="f"; filename="f"|x` + "\r\n" + delimiter + "x"),
		"a part smuggled by line feeds in a file": form(`name="f"; filename="f"|x` + "\n" + delimiter + "\nContent-Disposition: form-data; name=\"tenant_id\"\n\nglobex"),
		"the delimiter inside a line":             form(`name="a"|x` + delimiter),
		"the delimiter in the headers":            form("name=\"a\"\r\nX-A: " + delimiter + "|b"),
		"no blank line before an empty content":   delimiter + "\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + delimiter + "--\r\n",
		"no headers":                              delimiter + "\r\n\r\nx\r\n" + delimiter + "--\r\n",
		"no disposition":                          delimiter + "\r\nContent-Type: text/plain\r\n\r\nx\r\n" + delimiter + "--\r\n",
		"another disposition":                     strings.Replace(ok, "form-data; name", "attachment; name", 1),
		"two dispositions":                        form("name=\"a\"\r\nContent-Disposition: form-data; name=\"tenant_id\"|globex"),
		"two dispositions in other case":          form("name=\"a\"\r\ncontent-disposition: form-data; name=\"tenant_id\"|globex"),
		"a folded header":                         form("name=\"a\";\r\n name=\"tenant_id\"|globex"),
		"a folded header with a tab":              form("filename=\"a\"\r\n\t; name=\"tenant_id\"|globex"),
		"a space before the colon":                strings.Replace(ok, "Disposition:", "Disposition :", 1),
		"a header without a colon":                form("name=\"a\"\r\nX|b"),
		"a bare line feed in a header":            form("name=\"a\"\nX: y|b"),
		"NUL in a header":                         form("name=\"a\x00\"|b"),
		"no name":                                 form(`filename="a"|b`),
		"an empty name":                           form(`name=""|b`),
		"a name twice":                            form(`name="a"; name="tenant_id"|globex`),
		"a name twice in other case":              form(`name="a"; NAME="tenant_id"|globex`),
		"an extended name":                        form(`name*=utf-8''tenant_id|globex`),
		"both names":                              form(`name="a"; name*=utf-8''tenant_id|globex`),
		"a continued name":                        form(`name*0="tenant"; name*1="_id"|globex`),
		"an escaped name":                         form(`name="tenant\_id"|globex`),
		"an encoded word":                         form(`name="=?utf-8?q?tenant=5Fid?="|globex`),
		"single quotes":                           form(`name='tenant_id'|globex`),
		"an open quotation":                       form(`name="tenant_id|globex`),
		"text after the quotation":                form(`name="a"tenant_id|globex`),
		"space around the equals sign":            form(`name = "tenant_id"|globex`),
		"bad UTF-8 in the name":                   form("name=\"tenant\xff_id\"|globex"),
		"an unknown parameter":                    form(`name="a"; x="y"|b`),
		"filename* alone":                         form(`name="tenant_id"; filename*=utf-8''x|globex`),
		"filename* with an empty filename":        form(`name="a"; filename=""; filename*=utf-8''x|b`),
		"a file name that ends with a backslash":  form(`name="f"; filename="C:\"; name="tenant_id"|globex`),
		"an escaped quotation in the file name":   form(`name="f"; filename="a\"; name=\"tenant_id"|globex`),
		"a parameter in the file name":            form(`name="f"; filename="a; name=tenant_id"|globex`),
		"filename* without a name":                form(`name="tenant"; filename="x"; filename*=utf-8''|b`),
		"filename* in another charset":            form(`name="a"; filename="x"; filename*=utf-7''y|b`),
		"filename* with a bad escape":             form(`name="a"; filename="x"; filename*=utf-8''%zz|b`),
		"an empty parameter":                      form(`; name="a"|b`),
		"quoted-printable":                        form("name=\"a\"\r\nContent-Transfer-Encoding: quoted-printable|b"),
		"base64":                                  form("name=\"a\"\r\nContent-Transfer-Encoding: base64|Zw=="),
		"UTF-7":                                   form("name=\"a\"\r\nContent-Type: text/plain; charset=utf-7|b"),
		"UTF-16 JSON":                             form("name=\"a\"\r\nContent-Type: application/json; charset=utf-16|b"),
		"multipart in multipart":                  form("name=\"a\"\r\nContent-Type: multipart/mixed; boundary=x|--x--"),
		"a type that is none":                     form("name=\"a\"\r\nContent-Type: text|b"),
		"17 headers": form("name=\"a\"" + func() (s string) {
			for i := range maxPartHeaders {
				s += fmt.Sprintf("\r\nX-%d: y", i)
			}
			return
		}() + "|b"),
		"headers of 9 KiB":         form("name=\"a\"\r\nX: " + strings.Repeat("y", 9<<10) + "|b"),
		"headers without an end":   delimiter + "\r\n" + strings.Repeat("y", 64<<10),
		"headers that never begin": delimiter + "\r\n",
	} {
		for _, stream := range []bool{false, true} {
			ex := exchange(t, typeMult, unsized(body))
			ex.Route.Body.Stream = stream
			err := pass(r, ex)
			if err == nil && ex.Body.Stream != nil {
				_, err = io.Copy(io.Discard, ex.Body.Stream)
			}
			wantVerdict(t, fmt.Sprintf("%s, stream %v", name, stream), err, "400 body_malformed")
		}
	}
}

func TestMultipartBombs(t *testing.T) {
	r, _ := newReader(t, Config{})
	parts := func(n int, p string) string { return form(slices.Repeat([]string{p}, n)...) }
	for name, c := range map[string][2]string{
		"5,000 fields":    {parts(5_000, `name="a"|b`), "passed"},
		"5,001 fields":    {parts(5_001, `name="a"|b`), "413 body_too_complex"},
		"100,000 fields":  {parts(100_000, `name="a"|b`), "413 body_too_complex"},
		"100,000 files":   {parts(100_000, `name="a"; filename="b"|`), "413 body_too_complex"},
		"nested JSON":     {form("name=\"a\"\r\nContent-Type: application/json|" + strings.Repeat("[", 100_000)), "413 body_too_complex"},
		"JSON in a field": {form(`name="a"|` + strings.Repeat("[", 70) + strings.Repeat("]", 70)), "413 body_too_complex"},
	} {
		ex := exchange(t, typeMult, unsized(c[0]))
		ex.Route.Body.Max = 64 << 20
		wantVerdict(t, name, pass(r, ex), c[1])
	}
}

// parse feeds a body in pieces and lists what the parser saw.
func parse(body string, pieces func() int) ([]string, error) {
	var got []string
	m := newMultipartParser(boundary, 1<<20)
	m.begin = func(p part) (bool, error) {
		if p.file {
			got = append(got, "file "+p.name)
		}
		return !p.file, nil
	}
	m.field = func(p part, text string) error {
		got = append(got, p.name+"="+text)
		return nil
	}
	fed := int64(0)
	for rest := body; rest != ""; {
		n := min(len(rest), max(pieces(), 1))
		if err := m.feed([]byte(rest[:n])); err != nil {
			return got, err
		}
		fed += int64(n)
		if m.safe > fed {
			return got, fmt.Errorf("%d bytes are safe of %d", m.safe, fed)
		}
		rest = rest[n:]
	}
	if err := m.finish(); err != nil {
		return got, err
	}
	if m.safe != int64(len(body)) {
		return got, fmt.Errorf("%d bytes are safe in the end of %d", m.safe, len(body))
	}
	return got, nil
}

func TestTheMultipartParserDoesNotDependOnThePieces(t *testing.T) {
	body := form(`name="a"|b`, `name="f"; filename="x"|`+strings.Repeat("\r\n--almost\r\n-", 50), `name="c"|`, `name="d"|`+strings.Repeat("\r", 100))
	want, err := parse(body, func() int { return len(body) })
	if err != nil || len(want) != 4 {
		t.Fatalf("got %q, %v", want, err)
	}
	for piece := 1; piece < 200; piece++ {
		if got, err := parse(body, func() int { return piece }); err != nil || !slices.Equal(got, want) {
			t.Fatalf("in pieces of %d: %q, %v", piece, got, err)
		}
	}
}

// FuzzMultipart holds two properties: the verdict does not depend on how the body was cut, and
// what is accepted has the same fields for mime/multipart.
func FuzzMultipart(f *testing.F) {
	for _, seed := range []string{
		form(`name="a"|b`), form(`name="a"; filename="f"|b`, `name="c"|d`), "--" + boundary + "--", "\r\n--" + boundary + "\r\n",
		form("name=\"a\"\r\nContent-Type: text/plain|b"), form(`name="a"; filename="f"; filename*=utf-8''x|b`), form(`name="a\"b"|c`),
	} {
		f.Add(strings.ReplaceAll(seed, boundary, "B"), uint8(3))
	}
	f.Fuzz(func(t *testing.T, body string, piece uint8) {
		body = strings.ReplaceAll(body, "--B", "--"+boundary) // a short name is found faster
		got, err := parse(body, func() int { return len(body) })
		cut, cutErr := parse(body, func() int { return int(piece) })
		if (err == nil) != (cutErr == nil) || err == nil && !slices.Equal(got, cut) {
			t.Fatalf("%q: %q, %v; in pieces of %d: %q, %v", body, got, err, piece, cut, cutErr)
		}
		if err != nil {
			return
		}
		var want []string
		std := multipart.NewReader(strings.NewReader(body), boundary)
		for {
			p, err := std.NextRawPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("accepted %q, which mime/multipart refuses: %v", body, err)
			}
			content, err := io.ReadAll(p)
			if err != nil {
				t.Fatalf("accepted %q, which mime/multipart refuses: %v", body, err)
			}
			if _, params, _ := mime.ParseMediaType(p.Header.Get("Content-Disposition")); params["filename"] != "" {
				want = append(want, "file "+p.FormName())
			} else {
				want = append(want, p.FormName()+"="+string(content))
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q: got %q, mime/multipart reads %q", body, got, want)
		}
	})
}

func TestThePartsOfTheStandardWriterPass(t *testing.T) {
	r, _ := newReader(t, Config{})
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	w.WriteField("name", "ACME")
	file, _ := w.CreateFormFile("doc", "Angebot für ACME.pdf")
	io.WriteString(file, "%PDF")
	w.Close()
	ex := exchange(t, w.FormDataContentType(), &body)
	if err := pass(r, ex); err != nil || valuesText(ex) != "name=ACME;" {
		t.Errorf("got %q, %v", valuesText(ex), err)
	}
}
