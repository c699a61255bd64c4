package waf

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

// streaming is an upload that passes unspooled, with the fields before its first file.
func streaming(t *testing.T, typ string, mode access.Mode, values ...access.Value) *access.Exchange {
	ex := request{target: "/api/files/1", typ: typ, mode: mode}.exchange(t)
	ex.Body.Open, ex.Body.Size = nil, -1
	ex.Body.Stream = io.NopCloser(strings.NewReader(""))
	ex.Body.Values = values
	return ex
}

const (
	uploadType = "multipart/form-data; boundary=" + boundary
	script     = "<script>alert(1)</script>"
)

func TestFieldsOfAStreamAreJudged(t *testing.T) {
	e := shared(t, Config{})
	if err := e.InspectBody(streaming(t, uploadType, access.Enforce, access.Value{Path: "note", Text: script})); code(err) != "waf_blocked" {
		t.Errorf("an attack before the file: %v", err)
	}
	ex := streaming(t, uploadType, access.Enforce, access.Value{Path: "note", Text: "hello"})
	if err := through(e, ex); err != nil {
		t.Fatal(err)
	}
	ex.Request.Header.Set("Cookie", "a="+script) // nobody's any more: the late fields work on a copy
	findings := len(ex.Findings)
	if err := ex.Body.LateField(access.Value{Path: "title", Text: "Offer"}); err != nil {
		t.Errorf("an honest late field: %v", err)
	}
	if err := ex.Body.LateField(access.Value{Path: "title", Text: script}); code(err) != "waf_blocked" {
		t.Errorf("an attack after the file: %v", err)
	}
	if len(ex.Findings) != findings {
		t.Error("a late field wrote to the exchange, which may be in other hands")
	}
}

func TestARefusedStreamHasNoJudgeForLateFields(t *testing.T) {
	ex := streaming(t, uploadType, access.Enforce, access.Value{Path: "note", Text: script})
	if err := shared(t, Config{}).InspectBody(ex); err == nil || ex.Body.LateField != nil {
		t.Errorf("got %v and LateField set: %v, want a refusal and none, which refuses all", err, ex.Body.LateField != nil)
	}
}

func TestLateFieldsInTheOtherModes(t *testing.T) {
	for _, mode := range []access.Mode{access.Shadow, access.Off} {
		ex := streaming(t, uploadType, mode, access.Value{Path: "note", Text: script})
		if err := shared(t, Config{}).InspectBody(ex); err != nil {
			t.Fatalf("%s: %v", modeName(mode), err)
		}
		if err := ex.Body.LateField(access.Value{Path: "title", Text: script}); err != nil {
			t.Errorf("%s: %v", modeName(mode), err)
		}
	}
}

func TestLateFieldsShareOneBound(t *testing.T) {
	e := shared(t, Config{Limits: Limits{Body: 4096}})
	for name, text := range map[string]string{"many": "", "much": strings.Repeat("a ", 512)} {
		ex := streaming(t, uploadType, access.Enforce)
		if err := e.InspectBody(ex); err != nil {
			t.Fatal(err)
		}
		n := 0
		var err error
		for ; err == nil && n < 100; n++ {
			err = ex.Body.LateField(access.Value{Path: "a", Text: text})
		}
		want := map[string]int{"many": maxLateFields + 1, "much": 4}[name]
		if code(err) != "waf_too_large" || n != want {
			t.Errorf("%s: %d late fields, then %v; want %d", name, n, err, want)
		}
	}
}

func TestAStreamThatCanOnlyBeJudgedWholeIsRefused(t *testing.T) {
	e := shared(t, Config{})
	for typ, want := range map[string]string{
		"application/json": "waf_media_type", "application/merge-patch+json": "waf_media_type", "text/xml": "waf_media_type",
		"application/x-www-form-urlencoded": "waf_media_type", "application/octet-stream": "", "text/csv": "", uploadType: "",
		"application/x-unheard-of": "waf_media_type",
	} {
		if err := e.InspectBody(streaming(t, typ, access.Enforce)); code(err) != want {
			t.Errorf("%s: got %v, want %q", typ, err, want)
		}
	}
	ex := streaming(t, uploadType, access.Enforce)
	ex.Request.Header.Set("Content-Encoding", "gzip")
	if err := e.InspectBody(ex); code(err) != "waf_media_type" {
		t.Errorf("a compressed stream: %v", err)
	}
}

func TestALateFieldThatCannotBeJudgedAborts(t *testing.T) {
	e, err := New(Config{}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ex := streaming(t, uploadType, access.Enforce)
	ex.Request = ex.Request.WithContext(ctx)
	if err := e.InspectBody(ex); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := ex.Body.LateField(access.Value{Path: "a"}); code(err) != "failure" {
		t.Errorf("after the request: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ex.Body.LateField(access.Value{Path: "a"}); code(err) != "failure" {
		t.Errorf("after the engine: %v", err)
	}
}
