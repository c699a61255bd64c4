package operation

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/units"
)

const (
	typeJSON = "application/json"
	typeForm = "application/x-www-form-urlencoded"
	boundary = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
	typeMult = "multipart/form-data; boundary=" + boundary
)

// newReader gives a reader whose memory is small, so that tests reach the file.
func newReader(t testing.TB, cfg Config) (*Reader, *Spool) {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	spool := NewSpool(cfg, observe.Discard{})
	r, err := New(cfg, Deps{Spool: spool})
	if err != nil {
		t.Fatal(err)
	}
	return r, spool
}

func tenant(t testing.TB, id string) access.TenantID {
	t.Helper()
	parsed, err := access.ParseTenantID(id)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// exchange is a POST of alice at acme to a site that guards tenant_id everywhere.
func exchange(t testing.TB, contentType string, body io.Reader) *access.Exchange {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), "POST", "https://crm.test/api", body)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if req.ContentLength >= 0 {
		req.Header.Set("Content-Length", fmt.Sprint(req.ContentLength))
	}
	return access.NewMint().Receive(access.Exchange{
		Request:  req,
		Identity: &access.Identity{Subject: "alice", Tenant: tenant(t, "acme")},
		Site: &access.Site{Name: "crm", Guard: access.Guard{
			Form: []string{"tenant_id"}, JSON: []string{"tenant_id"}}},
		Route: access.Route{Class: access.App, Action: access.ActionCreate, Body: access.BodyRule{
			Types: []string{typeJSON, "application/merge-patch+json", typeForm, "multipart/form-data", "text/plain", "application/octet-stream"},
			Max:   10 << 20}},
		Body: access.Body{Present: true},
	})
}

// pass runs both gates.
func pass(r *Reader, ex *access.Exchange) error {
	if err := r.Read(ex); err != nil {
		return err
	}
	return r.Complete(ex)
}

// verdict is "passed", or the refusal's status and code.
func verdict(err error) string {
	if err == nil {
		return "passed"
	}
	if refusal, ok := errors.AsType[*access.Refusal](err); ok {
		return fmt.Sprintf("%d %s", refusal.Status, refusal.Code)
	}
	return err.Error()
}

func wantVerdict(t *testing.T, name string, err error, want string) {
	t.Helper()
	if got := verdict(err); got != want {
		t.Errorf("%s: got %s (%v), want %s", name, got, err, want)
	}
}

// forwarded is what a backend would get of a spooled body.
func forwarded(t testing.TB, ex *access.Exchange) []byte {
	t.Helper()
	body, err := ex.Body.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func valuesText(ex *access.Exchange) string {
	var b strings.Builder
	for _, v := range ex.Body.Values {
		fmt.Fprintf(&b, "%s=%s;", v.Path, v.Text)
	}
	return b.String()
}

// form builds a multipart body: each part is its disposition's parameters (and further header
// lines), a "|", and its content.
func form(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		head, content, _ := strings.Cut(p, "|")
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n", boundary, head, content)
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.String()
}

// unsized hides the length of a body, as chunked encoding does.
func unsized(s string) io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }

// noLeak checks that after Release nothing is held.
func noLeak(t *testing.T, ex *access.Exchange, spool *Spool) {
	t.Helper()
	if ex.Body.Release != nil {
		ex.Body.Release()
	}
	if spool.memory.used != 0 || spool.disk.used != 0 {
		t.Errorf("after Release %d bytes of memory and %d of disk are held", spool.memory.used, spool.disk.used)
	}
}

func TestARequestWithoutABodyPassesUntouched(t *testing.T) {
	r, _ := newReader(t, Config{})
	ex := exchange(t, "", http.NoBody)
	ex.Body.Present = false
	if err := pass(r, ex); err != nil || ex.Body.Open != nil || ex.Body.Values != nil || ex.Route.Action != access.ActionCreate {
		t.Errorf("got %v, body %+v", err, ex.Body)
	}
}

func TestCompleteWithoutReadIsClosed(t *testing.T) {
	r, _ := newReader(t, Config{})
	if err := r.Complete(exchange(t, typeJSON, strings.NewReader(`{}`))); err == nil {
		t.Error("a body that was not read passed the operation gate")
	}
	ex := exchange(t, typeJSON, strings.NewReader(`{}`))
	ex.Body.Stream = io.NopCloser(strings.NewReader(`{}`))
	wantVerdict(t, "a foreign stream", r.Complete(ex), "503 body_unavailable")
}

func TestNewNeedsASpool(t *testing.T) {
	if _, err := New(Config{}, Deps{}); err == nil {
		t.Error("a reader without a spool was made")
	}
}

func TestConfigReportsEveryProblem(t *testing.T) {
	var got []string
	Config{Dir: "spool", Memory: 1, MemoryTotal: 2, DiskTotal: 3, Judged: 100 * units.MiB}.Check(
		func(path, _, hint string) {
			if hint == "" {
				t.Errorf("%s has no hint", path)
			}
			got = append(got, path)
		},
		func(path, _, _ string) { got = append(got, "warn "+path) })
	want := "dir memory memory_total judged disk_total warn judged"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	Config{}.Check(func(path, what, _ string) { t.Errorf("the default %s: %s", path, what) },
		func(path, what, _ string) { t.Errorf("the default %s: %s", path, what) })
}

func TestTheSameBytesOnwardsWhateverTheirSizeAndFraming(t *testing.T) {
	const memory = 8 << 10
	r, spool := newReader(t, Config{Memory: memory})
	for _, size := range []int{0, 1, 511, 512, 4095, 4096, memory - 1, memory, memory + 1, memory + sealedChunk - 1,
		memory + sealedChunk, memory + sealedChunk + 1, memory + 3*sealedChunk + 17} {
		for _, chunked := range []bool{false, true} {
			body := make([]byte, size)
			for i := range body {
				body[i] = byte(i*7 + i>>8)
			}
			var src io.Reader = bytes.NewReader(body)
			if chunked {
				src = struct{ io.Reader }{src}
			}
			ex := exchange(t, "application/octet-stream", src)
			ex.Request.TransferEncoding = []string{"chunked"}
			name := fmt.Sprintf("%d bytes, chunked %v", size, chunked)
			if err := pass(r, ex); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for range 2 { // as often as it is opened
				if !bytes.Equal(forwarded(t, ex), body) {
					t.Fatalf("%s: other bytes go out", name)
				}
			}
			own, err := io.ReadAll(ex.Request.Body)
			if err != nil || !bytes.Equal(own, body) {
				t.Errorf("%s: the request's own body: %d bytes, %v", name, len(own), err)
			}
			var plain bytes.Buffer // without WriteTo
			opened, _ := ex.Body.Open()
			if _, err := io.CopyBuffer(&plain, struct{ io.Reader }{opened}, make([]byte, 1000)); err != nil || !bytes.Equal(plain.Bytes(), body) {
				t.Errorf("%s: read by small pieces: %v", name, err)
			}
			if ex.Body.Size != int64(size) || ex.Request.ContentLength != int64(size) ||
				ex.Request.Header.Get("Content-Length") != fmt.Sprint(size) || ex.Request.TransferEncoding != nil {
				t.Errorf("%s: size %d, length %d, headers %v", name, ex.Body.Size, ex.Request.ContentLength, ex.Request.Header)
			}
			noLeak(t, ex, spool)
		}
	}
}
