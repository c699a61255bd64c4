package waf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

// shared builds each configuration once for all tests: an engine takes 0.3 s.
var shared = func() func(t testing.TB, c Config) *Engine {
	var mu sync.Mutex
	engines := map[string]*Engine{}
	return func(t testing.TB, c Config) *Engine {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		key := fmt.Sprintf("%+v", c.WithDefaults())
		if engines[key] == nil {
			e, err := New(c, Deps{})
			if err != nil {
				t.Fatal(err)
			}
			engines[key] = e
		}
		return engines[key]
	}
}()

// request is what a client sends, in the words of a test.
type request struct {
	method string // GET, or POST when there is a body
	target string // "/" when empty
	header map[string]string
	typ    string // Content-Type of the body
	body   string
	mode   access.Mode
}

// exchange is the request as the corridor hands it to the gates.
func (q request) exchange(t testing.TB) *access.Exchange {
	if q.target == "" {
		q.target = "/"
	}
	if q.method == "" {
		q.method = http.MethodGet
		if q.typ != "" {
			q.method = http.MethodPost
		}
	}
	rawPath, query, _ := strings.Cut(q.target, "?")
	path, err := url.PathUnescape(rawPath)
	if err != nil {
		path = rawPath
	}
	r := (&http.Request{
		Method: q.method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "crm.example.com",
		Header: http.Header{
			"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
			"Accept":          {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
			"Accept-Language": {"en-GB,en;q=0.5"},
			"Accept-Encoding": {"gzip, deflate, br, zstd"},
		},
	}).WithContext(t.Context())
	for k, v := range q.header {
		r.Header.Set(k, v)
	}
	ex := &access.Exchange{Request: r, ID: "0197-test", Site: &access.Site{Name: "crm", WAF: q.mode},
		Target: access.Target{Raw: q.target, Path: path, RawQuery: query}}
	if q.typ != "" {
		r.Header.Set("Content-Type", q.typ)
		r.ContentLength = int64(len(q.body))
		ex.Body = access.Body{Present: true, Size: r.ContentLength, Open: opening(strings.NewReader(q.body))}
	}
	return ex
}

func opening(r io.Reader) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(r), nil }
}

// through sends an exchange through both gates.
func through(e *Engine, ex *access.Exchange) error {
	if err := e.InspectHead(ex); err != nil {
		return err
	}
	if !ex.Body.Present {
		return nil
	}
	return e.InspectBody(ex)
}

// code is the reason code of a refusal, "" for nil, and "failure" for other errors.
func code(err error) string {
	if err == nil {
		return ""
	}
	if r, ok := errors.AsType[*access.Refusal](err); ok {
		return r.Code
	}
	return "failure"
}

const sqli = "/contacts?q=1%27%20union%20select%20password%20from%20users--%20"

func TestAnEngineThatIsMissingOrClosedLetsNothingThrough(t *testing.T) {
	closed, err := New(Config{}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(closed.Close(), closed.Close()); err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]*Engine{"nil": nil, "zero": {}, "closed": closed} {
		for mode := access.Enforce; mode <= access.Off; mode++ {
			ex := request{typ: "application/json", body: `{}`, mode: mode}.exchange(t)
			for gate, err := range map[string]error{
				"head": e.InspectHead(ex), "body": e.InspectBody(ex), "self-test": e.SelfTest(t.Context()),
			} {
				if code(err) != "failure" {
					t.Errorf("%s engine, %s, mode %s: got %v, want an error that is no refusal", name, gate, modeName(mode), err)
				}
			}
		}
	}
	var missing *Engine
	if err := missing.Close(); err != nil {
		t.Errorf("closing nil: %v", err)
	}
}

func TestModes(t *testing.T) {
	for _, c := range []struct {
		name         string
		global       string
		site         access.Mode
		refused      bool
		findings     bool
		countedUnder string
	}{
		{"the zero values enforce", "", 0, true, true, "enforce"},
		{"a site in shadow mode finds and passes", "enforce", access.Shadow, false, true, "shadow"},
		{"a site that is off looks at nothing", "enforce", access.Off, false, false, ""},
		{"no site is stricter than the configuration", "shadow", access.Enforce, false, true, "shadow"},
		{"a site can be off under shadow", "shadow", access.Off, false, false, ""},
		{"off for all", "off", access.Enforce, false, false, ""},
		{"a mode that is none enforces", "enforce", 77, true, true, "enforce"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &meter{}
			e, err := New(Config{Mode: c.global}, Deps{Meter: m})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			ex := request{target: sqli, mode: c.site}.exchange(t)
			err = e.InspectHead(ex)
			if got := code(err) == "waf_blocked"; got != c.refused || !got && err != nil {
				t.Errorf("got %v, refused should be %v", err, c.refused)
			}
			if got := len(ex.Findings) > 0; got != c.findings {
				t.Errorf("findings: %v, want some: %v", ex.Findings, c.findings)
			}
			for _, f := range ex.Findings {
				if f.Blocked != c.refused {
					t.Errorf("finding %+v, want Blocked=%v", f, c.refused)
				}
			}
			if got := m.total("sallyport_waf_findings_total", c.countedUnder); got != len(ex.Findings) {
				t.Errorf("counted %d findings under mode %q, want %d: %v", got, c.countedUnder, len(ex.Findings), m.seen)
			}
		})
	}
}

func TestARequestWithoutASiteIsJudged(t *testing.T) {
	ex := request{target: sqli}.exchange(t)
	ex.Site = nil
	if got := code(shared(t, Config{}).InspectHead(ex)); got != "waf_blocked" {
		t.Errorf("got %q, want waf_blocked", got)
	}
}

func TestARefusalTellsTheClientNothingAndTheLogEnough(t *testing.T) {
	ex := request{target: "/contacts?q=%3Cscript%3Ealert%281%29%3C%2Fscript%3Ecanary"}.exchange(t)
	r, ok := errors.AsType[*access.Refusal](shared(t, Config{}).InspectHead(ex))
	if !ok || r.Status != http.StatusForbidden || !r.Counted {
		t.Fatalf("got %+v, want a counted 403", r)
	}
	public := r.Code + r.Detail + r.Remedy + fmt.Sprint(r.Header)
	for _, f := range ex.Findings {
		if strings.Contains(public, fmt.Sprint(f.Rule)) || strings.Contains(public, f.Message) || strings.Contains(public, f.Field) {
			t.Errorf("the public text %q names the finding %+v", public, f)
		}
		if text := fmt.Sprintf("%+v", f); strings.Contains(text, "canary") || strings.Contains(text, "alert") {
			t.Errorf("the finding %s holds what the client sent", text)
		}
		if f.Severity != "CRITICAL" || f.Message == "" || f.Field != "ARGS:q" {
			t.Errorf("finding %+v, want a critical one in ARGS:q", f)
		}
	}
	private := r.Err.Error()
	if !strings.Contains(private, "941100 in ARGS:q") || strings.Contains(private, "canary") {
		t.Errorf("private half %q, want rule and field without value", private)
	}
}

func TestNamesThatAClientChoosesAreNotRepeatedAtLength(t *testing.T) {
	name := "<script>alert(1)</script>\n\x1b[31m" + strings.Repeat("n", 500)
	ex := request{target: "/?" + url.QueryEscape(name) + "=%3Cscript%3Ealert(1)%3C/script%3E"}.exchange(t)
	if code(shared(t, Config{}).InspectHead(ex)) != "waf_blocked" {
		t.Fatal("not refused")
	}
	inNames := false
	for _, f := range ex.Findings {
		inNames = inNames || f.Field == "ARGS_NAMES"
		if strings.ContainsAny(f.Field, "<>\n\x1b") || len(f.Field) > maxField+len("ARGS:…") {
			t.Errorf("field %q is not fit for a log", f.Field)
		}
	}
	if !inNames {
		t.Errorf("no finding in ARGS_NAMES among %+v", ex.Findings)
	}
}

func TestTheLogOfAShadowedRequestIsBoundedAndHoldsNoValues(t *testing.T) {
	var out bytes.Buffer
	e, err := New(Config{}, Deps{Log: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var query strings.Builder
	for i := range 200 {
		fmt.Fprintf(&query, "&%s%d=%%3Cscript%%3Ecanary()%%3C/script%%3E", strings.Repeat("p", 90), i)
	}
	ex := request{target: "/?" + query.String()[1:], mode: access.Shadow}.exchange(t)
	if err := e.InspectHead(ex); err != nil {
		t.Fatal(err)
	}
	if line := out.String(); !strings.Contains(line, "would have refused") || strings.Contains(line, "canary") || len(line) > maxLogged+400 {
		t.Errorf("log of %d bytes: %s", out.Len(), line)
	}
	if len(ex.Findings) > maxFindings {
		t.Errorf("%d findings, want at most %d", len(ex.Findings), maxFindings)
	}
	out.Reset()
	if err := e.InspectHead(request{target: "/contacts"}.exchange(t)); err != nil || out.Len() > 0 {
		t.Errorf("an honest request: %v, log %q", err, out.String())
	}
}

func TestFindingsOfTheHeadAreNotRepeatedByTheBody(t *testing.T) {
	m := &meter{}
	e, err := New(Config{}, Deps{Meter: m})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ex := request{target: sqli, typ: "application/json", body: `{"a":"b"}`, mode: access.Shadow}.exchange(t)
	if err := e.InspectHead(ex); err != nil {
		t.Fatal(err)
	}
	n := len(ex.Findings)
	if err := e.InspectBody(ex); err != nil {
		t.Fatal(err)
	}
	if n == 0 || len(ex.Findings) != n || m.total("sallyport_waf_findings_total", "shadow") != n {
		t.Errorf("%d findings after the head, %d after the body, %d counted", n, len(ex.Findings), m.total("sallyport_waf_findings_total", "shadow"))
	}
}

func TestWhatCannotBeJudgedDoesNotPass(t *testing.T) {
	broken := errors.New("disk on fire")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, damage := range map[string]func(*access.Exchange){
		"the body cannot be opened": func(ex *access.Exchange) { ex.Body.Open = func() (io.ReadCloser, error) { return nil, broken } },
		"the body has no opener":    func(ex *access.Exchange) { ex.Body.Open = nil },
		"the body breaks off": func(ex *access.Exchange) {
			ex.Body.Open = opening(io.MultiReader(strings.NewReader(`{"a":`), failing{broken}))
		},
		"the opener panics": func(ex *access.Exchange) { ex.Body.Open = func() (io.ReadCloser, error) { panic("canary") } },
		"the body does not close": func(ex *access.Exchange) {
			ex.Body.Open = func() (io.ReadCloser, error) { return unclosable{strings.NewReader(`{}`)}, nil }
		},
		"the client has gone": func(ex *access.Exchange) { ex.Request = ex.Request.WithContext(ended) },
		"a multipart body breaks off": func(ex *access.Exchange) {
			ex.Request.Header.Set("Content-Type", "multipart/form-data; boundary=b")
			ex.Body.Open = opening(io.MultiReader(strings.NewReader("--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx"), failing{broken}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := &meter{}
			e := shared(t, Config{})
			counted := &Engine{config: e.config, strict: e.strict, waf: e.waf, rules: e.rules, turns: e.turns, built: true,
				log: e.log, findings: e.findings, failures: m.Counter("failures", "", "mode")}
			ex := request{typ: "application/json", body: `{}`}.exchange(t)
			damage(ex)
			if err := counted.InspectBody(ex); code(err) != "failure" {
				t.Errorf("got %v, want an error that is no refusal", err)
			}
			if want := 1; name != "the client has gone" && m.total("failures", "enforce") != want {
				t.Errorf("counted %d failures, want %d", m.total("failures", "enforce"), want)
			}
			if err := e.InspectHead(request{target: sqli}.exchange(t)); code(err) != "waf_blocked" {
				t.Errorf("afterwards an attack got %v", err)
			}
		})
	}
}

func TestAFailureInShadowModeIsLoudAndPasses(t *testing.T) {
	var out bytes.Buffer
	e, err := New(Config{Mode: "shadow"}, Deps{Log: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ex := request{typ: "application/json", body: `{}`}.exchange(t)
	ex.Body.Open = func() (io.ReadCloser, error) { panic("canary") }
	if err := e.InspectBody(ex); err != nil {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(out.String(), "could not judge") {
		t.Errorf("log: %s", out.String())
	}
}

func TestOneEngineServesManyRequestsAtOnce(t *testing.T) {
	e := shared(t, Config{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				q, want := request{target: "/contacts?page=2", typ: "application/json", body: `{"name":"Ada"}`}, ""
				if (i+j)%2 == 0 {
					q.body, want = `{"name":"<script>alert(1)</script>"}`, "waf_blocked"
				}
				if got := code(through(e, q.exchange(t))); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
	wg.Wait()
}

// failing is a reader that fails; unclosable a body whose Close does.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type unclosable struct{ io.Reader }

func (unclosable) Close() error { return errors.New("cannot close") }

// meter remembers what was counted, by instrument and labels.
type meter struct {
	observe.Discard
	mu   sync.Mutex
	seen map[string]int
}

func (m *meter) Counter(name, _ string, _ ...string) observe.Counter {
	return counter(func(values ...string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.seen == nil {
			m.seen = map[string]int{}
		}
		m.seen[name+"|"+strings.Join(values, "|")]++
	})
}

// total sums the counts of an instrument whose last label has the given value.
func (m *meter) total(name, last string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range m.seen {
		if strings.HasPrefix(k, name+"|") && strings.HasSuffix(k, "|"+last) {
			n += v
		}
	}
	return n
}

type counter func(values ...string)

func (c counter) Add(_ float64, values ...string) { c(values...) }
