package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/secret"
)

type fakeFlood func(netip.Addr) (time.Duration, bool)

func (f fakeFlood) Allow(a netip.Addr) (time.Duration, bool) { return f(a) }

type fakeWAF struct{ head, body func(*access.Exchange) error }

func (f fakeWAF) InspectHead(ex *access.Exchange) error { return f.head(ex) }
func (f fakeWAF) InspectBody(ex *access.Exchange) error { return f.body(ex) }

type fakeAuthn func(*access.Exchange) error

func (f fakeAuthn) Authenticate(ex *access.Exchange) error { return f(ex) }

type fakeQuota func(context.Context, *access.Exchange) (time.Duration, bool)

func (f fakeQuota) Take(ctx context.Context, ex *access.Exchange) (time.Duration, bool) {
	return f(ctx, ex)
}

type fakeBodies struct{ read, complete func(*access.Exchange) error }

func (f fakeBodies) Read(ex *access.Exchange) error     { return f.read(ex) }
func (f fakeBodies) Complete(ex *access.Exchange) error { return f.complete(ex) }

type fakePolicy func(context.Context, *access.Exchange) (access.Decision, error)

func (f fakePolicy) Authorize(ctx context.Context, ex *access.Exchange) (access.Decision, error) {
	return f(ctx, ex)
}

type fakeAudit struct {
	intend  func(context.Context, *access.Exchange) error
	ended   []access.Outcome
	refused []*access.Refusal
}

func (f *fakeAudit) Intend(ctx context.Context, ex *access.Exchange) error { return f.intend(ctx, ex) }
func (f *fakeAudit) Finish(_ context.Context, _ *access.Exchange, o access.Outcome, _ int) {
	f.ended = append(f.ended, o)
}
func (f *fakeAudit) Refused(_ context.Context, _ *access.Exchange, r *access.Refusal) {
	f.refused = append(f.refused, r)
}

type fakeAsserter struct{}

func (fakeAsserter) Assertion(context.Context, *access.Exchange) (string, error) {
	return "assertion", nil
}

type fakePages struct{}

func (fakePages) Render(w io.Writer, page string, data any) error {
	d := data.(refusalPage)
	_, err := io.WriteString(w, "<h1>"+d.Title+"</h1>"+d.Code+" "+d.RequestID)
	return err
}
func (fakePages) CSP() string { return "default-src 'none'" }

// house is a whole corridor whose rooms are fakes that all say yes, in front of a real
// backend that counts.
type house struct {
	plan  *Plan
	audit *fakeAudit
	hits  *atomic.Int64
	log   *bytes.Buffer
}

func newHouse(t testing.TB, change func(*Config, *Rooms)) *house {
	t.Helper()
	h := &house{hits: new(atomic.Int64), log: new(bytes.Buffer)}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.hits.Add(1)
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "from the backend")
	}))
	t.Cleanup(backend.Close)
	h.audit = &fakeAudit{intend: func(_ context.Context, ex *access.Exchange) error { ex.EventID = "event"; return nil }}
	page := func(w http.ResponseWriter, ex *access.Exchange) error {
		h.hits.Add(1)
		_, err := io.WriteString(w, "a page of ours")
		return err
	}
	form := access.BodyRule{Types: []string{"application/x-www-form-urlencoded"}, Max: 1 << 10}
	rooms := Rooms{
		Flood: fakeFlood(func(netip.Addr) (time.Duration, bool) { return 0, true }),
		WAF:   fakeWAF{func(*access.Exchange) error { return nil }, func(*access.Exchange) error { return nil }},
		Authn: fakeAuthn(func(ex *access.Exchange) error {
			tenant, _ := access.ParseTenantID("acme")
			ex.Identity = &access.Identity{Subject: "u1", Email: "alice@acme.example", Roles: []string{"member"}, Tenant: tenant, SessionID: "s1", LoginID: "l1"}
			ex.Credential = access.CookieCredential
			return nil
		}),
		Quota: fakeQuota(func(context.Context, *access.Exchange) (time.Duration, bool) { return 0, true }),
		Bodies: fakeBodies{func(ex *access.Exchange) error {
			b, err := io.ReadAll(ex.Request.Body)
			ex.Body.Size, ex.Body.Open = int64(len(b)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
			return err
		}, func(*access.Exchange) error { return nil }},
		Policy: fakePolicy(func(context.Context, *access.Exchange) (access.Decision, error) {
			return access.Decision{Allow: true}, nil
		}),
		Audit: h.audit, Asserter: fakeAsserter{}, Pages: fakePages{},
		Endpoints: []access.Endpoint{
			{Path: "login", Method: "GET", Class: access.Portal, ReadOnly: true, Serve: page},
			{Path: "logout", Method: "POST", Class: access.Portal, Action: access.ActionLogout, Always: true, Body: form, Serve: page},
			{Path: "callback", Method: "GET", Class: access.Portal, Action: access.ActionLogin, CrossSite: true, Serve: page},
			{Path: "console/settings", Method: "POST", Class: access.Console, Action: access.ActionUpdate, Body: form, Serve: page},
			{Path: "operator/tenants", Method: "POST", Class: access.Operator, Action: access.ActionCreate, Body: form, Serve: page},
		},
		Streams: NewStreams(), Jar: new(Jar), Seal: secret.NewMasterKey().Sealer("test"),
		Meter: observe.Discard{}, Log: slog.New(slog.NewJSONHandler(h.log, nil)),
	}
	cfg := Config{Sites: []SiteConfig{{
		Name: "crm", Hosts: []string{"crm.test", "alias.test"}, Upstreams: []string{backend.URL},
		Tenant: TenantConfig{Guard: []string{"path.tenant", "query.tenant_id", "form.tenant_id"}},
		Public: []string{"/static/**"},
		Resources: []ResourceConfig{
			{Type: "contact", Path: "/api/contacts/{id}"},
			{Type: "report", Path: "/t/{tenant}/reports/{id}"},
			{Type: "search", Path: "/api/search", Actions: map[string]string{"POST": "read"}},
			{Type: "deal", Form: &FormConfig{Path: "/deals/card.php", Action: "action", ID: "id", Actions: map[string][]string{"read": {"view"}, "delete": {"confirm_delete"}}}},
			{Type: "model", JSONRPC: &JSONRPCConfig{Path: "/{db}/", Methods: map[string][]string{"read": {"read"}}}},
		},
	}}}
	if change != nil {
		change(&cfg, &rooms)
	}
	plan, err := NewPlan(cfg, rooms)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plan.Close)
	h.plan = plan
	return h
}

// request is a same-origin browser's request, unless a test changes it.
func request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, "https://crm.test"+target, nil)
	if body != "" {
		r = httptest.NewRequest(method, "https://crm.test"+target, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.RequestURI = target
	r.TLS = &tls.ConnectionState{ServerName: "crm.test"}
	r.RemoteAddr = "192.0.2.7:4711"
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

func (h *house) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.plan.serve(w, r)
	return w
}

// walks lists requests of every kind and the gates that guard each, as the design's table
// has them; written out by hand, so that neither table can lose a gate unnoticed.
var walks = []struct {
	name, method, target, body string
	gates                      string
}{
	{"public asset", "GET", "/static/app.css", "", "client_addr flood sanitize locate inspect_head"},
	{"login page", "GET", "/.sallyport/login", "", "client_addr flood sanitize locate inspect_head authenticate cross_origin"},
	{"login", "GET", "/.sallyport/callback?code=x", "", "client_addr flood sanitize locate inspect_head authenticate cross_origin record"},
	{"logout", "POST", "/.sallyport/logout", "a=1", "client_addr flood sanitize locate inspect_head authenticate cross_origin read_body operation inspect_body record"},
	{"read", "GET", "/api/contacts/7", "", "client_addr flood sanitize locate inspect_head authenticate cross_origin tenant quota authorize"},
	{"search by post", "POST", "/api/search", "q=1", "client_addr flood sanitize locate inspect_head authenticate cross_origin tenant quota read_body operation authorize inspect_body"},
	{"delete without a body", "DELETE", "/api/contacts/7", "", "client_addr flood sanitize locate inspect_head authenticate cross_origin tenant quota authorize record"},
	{"legacy delete by get", "GET", "/deals/card.php?action=confirm_delete&id=3", "", "client_addr flood sanitize locate inspect_head authenticate cross_origin tenant quota authorize record"},
	{"write", "POST", "/api/contacts", "name=x", "client_addr flood sanitize locate inspect_head authenticate cross_origin tenant quota read_body operation authorize inspect_body record"},
	{"console", "POST", "/.sallyport/console/settings", "a=1", "client_addr flood sanitize locate inspect_head authenticate cross_origin tenant quota read_body operation authorize inspect_body record"},
	{"operator", "POST", "/.sallyport/operator/tenants", "a=1", "client_addr flood sanitize locate inspect_head authenticate cross_origin read_body operation authorize inspect_body record"},
}

func TestTheOrderOfTheGatesIsThis(t *testing.T) {
	var got []string
	for _, g := range describe(newHouse(t, nil).plan.gates) {
		got = append(got, g.Name)
	}
	want := strings.Fields("client_addr flood sanitize locate inspect_head authenticate cross_origin tenant quota read_body operation authorize inspect_body record")
	if !slices.Equal(got, want) {
		t.Errorf("gates = %v\nwant    %v", got, want)
	}
}

func TestAWholeCorridorLetsEveryKindPass(t *testing.T) {
	for _, c := range walks {
		h := newHouse(t, nil)
		if w := h.do(request(c.method, c.target, c.body)); w.Code != 200 || h.hits.Load() != 1 {
			t.Errorf("%s: %d, %d hits: %s", c.name, w.Code, h.hits.Load(), w.Body)
		}
	}
}

func TestWithAnySingleGateRemovedNothingItGuardsGetsThrough(t *testing.T) {
	for _, c := range walks {
		for _, removed := range strings.Fields(c.gates) {
			h := newHouse(t, nil)
			before := len(h.plan.gates)
			h.plan.gates = slices.DeleteFunc(h.plan.gates, func(g gate) bool { return g.name == removed })
			if len(h.plan.gates) != before-1 {
				t.Fatalf("there is no gate %s", removed)
			}
			w := h.do(request(c.method, c.target, c.body))
			if w.Code != http.StatusServiceUnavailable || h.hits.Load() != 0 {
				t.Errorf("%s without %s: %d, %d hits, want 503 and none", c.name, removed, w.Code, h.hits.Load())
			}
		}
	}
}

func TestAStampOfAnotherMintOpensNothing(t *testing.T) {
	h := newHouse(t, nil)
	other := access.NewMint()
	stranger := cutDies(other)
	ex := h.plan.mint.Receive(access.Exchange{Request: request("GET", "/static/a", ""), Route: access.Route{Class: access.Public, ReadOnly: true}})
	for _, die := range stranger.demands(access.Public, false, false, false) {
		die.Press(ex)
	}
	if err := h.plan.door(ex); !errors.Is(err, errDoorShut) {
		t.Errorf("door = %v, want it shut", err)
	}
}

// TestEveryDependencyFailsClosed is the fail-closed table: each room errs, panics, answers with
// zero values, or hangs until the client gives up. Never a 2xx, and the backend is never reached.
func TestEveryDependencyFailsClosed(t *testing.T) {
	boom := errors.New("boom")
	hang := func(ctx context.Context) { <-ctx.Done() }
	for name, change := range map[string]func(*Rooms){
		"flood panics":       func(r *Rooms) { r.Flood = fakeFlood(func(netip.Addr) (time.Duration, bool) { panic(boom) }) },
		"flood is zero":      func(r *Rooms) { r.Flood = fakeFlood(func(netip.Addr) (time.Duration, bool) { return 0, false }) },
		"waf errs on head":   func(r *Rooms) { r.WAF = fakeWAF{func(*access.Exchange) error { return boom }, nil} },
		"waf panics on head": func(r *Rooms) { r.WAF = fakeWAF{func(*access.Exchange) error { panic(boom) }, nil} },
		"waf is zero":        func(r *Rooms) { r.WAF = fakeWAF{} },
		"waf hangs": func(r *Rooms) {
			r.WAF = fakeWAF{func(ex *access.Exchange) error { hang(ex.Request.Context()); return ex.Request.Context().Err() }, nil}
		},
		"waf errs on body":   func(r *Rooms) { f := r.WAF.(fakeWAF); f.body = func(*access.Exchange) error { return boom }; r.WAF = f },
		"waf panics on body": func(r *Rooms) { f := r.WAF.(fakeWAF); f.body = func(*access.Exchange) error { panic(boom) }; r.WAF = f },
		"authn errs":         func(r *Rooms) { r.Authn = fakeAuthn(func(*access.Exchange) error { return boom }) },
		"authn panics":       func(r *Rooms) { r.Authn = fakeAuthn(func(*access.Exchange) error { panic(boom) }) },
		"authn is zero":      func(r *Rooms) { r.Authn = fakeAuthn(func(*access.Exchange) error { return nil }) },
		"authn hangs": func(r *Rooms) {
			r.Authn = fakeAuthn(func(ex *access.Exchange) error { hang(ex.Request.Context()); return ex.Request.Context().Err() })
		},
		"identity is zero": func(r *Rooms) {
			r.Authn = fakeAuthn(func(ex *access.Exchange) error { ex.Identity = &access.Identity{}; return nil })
		},
		"identity lacks tenant": func(r *Rooms) {
			r.Authn = fakeAuthn(func(ex *access.Exchange) error {
				ex.Identity, ex.Credential = &access.Identity{Subject: "u"}, access.BearerCredential
				return nil
			})
		},
		"quota panics": func(r *Rooms) {
			r.Quota = fakeQuota(func(context.Context, *access.Exchange) (time.Duration, bool) { panic(boom) })
		},
		"quota is zero": func(r *Rooms) {
			r.Quota = fakeQuota(func(context.Context, *access.Exchange) (time.Duration, bool) { return 0, false })
		},
		"reader errs":   func(r *Rooms) { r.Bodies = fakeBodies{func(*access.Exchange) error { return boom }, nil} },
		"reader panics": func(r *Rooms) { r.Bodies = fakeBodies{} },
		"reader is zero": func(r *Rooms) {
			r.Bodies = fakeBodies{func(*access.Exchange) error { return nil }, func(*access.Exchange) error { return nil }}
		},
		"reader hangs": func(r *Rooms) {
			r.Bodies = fakeBodies{func(ex *access.Exchange) error { hang(ex.Request.Context()); return ex.Request.Context().Err() }, nil}
		},
		"operation errs": func(r *Rooms) {
			f := r.Bodies.(fakeBodies)
			f.complete = func(*access.Exchange) error { return boom }
			r.Bodies = f
		},
		"policy errs": func(r *Rooms) {
			r.Policy = fakePolicy(func(context.Context, *access.Exchange) (access.Decision, error) {
				return access.Decision{Allow: true}, boom
			})
		},
		"policy panics": func(r *Rooms) {
			r.Policy = fakePolicy(func(context.Context, *access.Exchange) (access.Decision, error) { panic(boom) })
		},
		"policy is zero": func(r *Rooms) {
			r.Policy = fakePolicy(func(context.Context, *access.Exchange) (access.Decision, error) { return access.Decision{}, nil })
		},
		"policy hangs": func(r *Rooms) {
			r.Policy = fakePolicy(func(ctx context.Context, _ *access.Exchange) (access.Decision, error) {
				hang(ctx)
				return access.Decision{}, ctx.Err()
			})
		},
		"audit errs": func(r *Rooms) {
			r.Audit = &fakeAudit{intend: func(context.Context, *access.Exchange) error { return boom }}
		},
		"audit panics": func(r *Rooms) {
			r.Audit = &fakeAudit{intend: func(context.Context, *access.Exchange) error { panic(boom) }}
		},
		"audit is zero": func(r *Rooms) {
			r.Audit = &fakeAudit{intend: func(context.Context, *access.Exchange) error { return nil }}
		},
		"audit hangs": func(r *Rooms) {
			r.Audit = &fakeAudit{intend: func(ctx context.Context, _ *access.Exchange) error { hang(ctx); return ctx.Err() }}
		},
	} {
		h := newHouse(t, func(_ *Config, r *Rooms) { change(r) })
		r := request("POST", "/api/contacts", "name=x")
		if strings.HasSuffix(name, "hangs") {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond) // the client gives up
			defer cancel()
			r = r.WithContext(ctx)
		}
		w := h.do(r)
		if w.Code < 400 || h.hits.Load() != 0 {
			t.Errorf("%s: %d, %d hits, want a refusal and none", name, w.Code, h.hits.Load())
		}
		if got := w.Body.String(); strings.Contains(got, "boom") || !strings.Contains(got, `"request_id"`) {
			t.Errorf("%s: the answer tells too much or too little: %s", name, got)
		}
	}
}

func TestAPlanWithoutARoomIsNotBuilt(t *testing.T) {
	for _, drop := range []func(*Rooms){
		func(r *Rooms) { r.Flood = nil }, func(r *Rooms) { r.WAF = nil }, func(r *Rooms) { r.Authn = nil }, func(r *Rooms) { r.Quota = nil },
		func(r *Rooms) { r.Bodies = nil }, func(r *Rooms) { r.Policy = nil }, func(r *Rooms) { r.Audit = nil }, func(r *Rooms) { r.Asserter = nil },
		func(r *Rooms) { r.Pages = nil }, func(r *Rooms) { r.Streams = nil }, func(r *Rooms) { r.Jar = nil }, func(r *Rooms) { r.Seal = nil },
	} {
		rooms := newHouse(t, nil).plan.rooms
		drop(&rooms)
		if _, err := NewPlan(Config{}, rooms); err == nil {
			t.Error("a plan was built without a room")
		}
	}
}

func TestLogoutProceedsWhenTheJournalCannotWrite(t *testing.T) {
	h := newHouse(t, func(_ *Config, r *Rooms) {
		r.Audit = &fakeAudit{intend: func(context.Context, *access.Exchange) error { return errors.New("disk full") }}
	})
	if w := h.do(request("POST", "/.sallyport/logout", "a=1")); w.Code != 200 {
		t.Errorf("logout: %d", w.Code)
	}
	if w := h.do(request("GET", "/.sallyport/callback", "")); w.Code != 503 {
		t.Errorf("login: %d, want 503", w.Code)
	}
	if w := h.do(request("GET", "/api/contacts/7", "")); w.Code != 200 {
		t.Errorf("read: %d, want it to go on", w.Code)
	}
}

func TestTheZeroGatewayRefuses(t *testing.T) {
	w := httptest.NewRecorder()
	new(Gateway).ServeHTTP(w, request("GET", "/", ""))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("got %d", w.Code)
	}
}

func TestAPlanIsIdleWhenItsLastRequestHasEnded(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	h := newHouse(t, func(_ *Config, r *Rooms) {
		r.Endpoints[0].Serve = func(http.ResponseWriter, *access.Exchange) error { close(started); <-release; return nil }
	})
	g := new(Gateway)
	g.Swap(h.plan)
	go g.ServeHTTP(httptest.NewRecorder(), request("GET", "/.sallyport/login", ""))
	<-started
	old := g.Swap(newHouse(t, nil).plan)
	select {
	case <-old.Idle():
		t.Fatal("the plan is idle while a request runs on it")
	default:
	}
	close(release)
	<-old.Idle()
	w := httptest.NewRecorder()
	g.ServeHTTP(w, request("GET", "/.sallyport/login", ""))
	if w.Code != 200 || old == g.Plan() {
		t.Errorf("after the swap: %d", w.Code)
	}
}

func TestRoutesAreDescribed(t *testing.T) {
	routes := Routes(Config{Sites: []SiteConfig{{Name: "crm", Public: []string{"/static/**"}, Resources: []ResourceConfig{
		{Type: "search", Path: "/api/search", Actions: map[string]string{"POST": "read"}},
		{Type: "deal", Form: &FormConfig{Path: "/card.php", Action: "action", Actions: map[string][]string{"delete": {"x"}}}},
	}}}})
	want := []string{"public asset read (GET and HEAD only)", "app search by verb, but POST is read", "app deal by parameter action; listed: delete; others are unknown changes", "app other by verb; a GET counts as a read, so list what changes something by GET"}
	for i, r := range routes {
		if got := r.Class + " " + r.Resource + " " + r.Action; got != want[i] {
			t.Errorf("route %d: %q, want %q", i, got, want[i])
		}
	}
}

func TestAPageOfTheConsoleEndsWithItsLogin(t *testing.T) {
	started := make(chan struct{})
	var h *house
	h = newHouse(t, func(_ *Config, r *Rooms) {
		r.Endpoints[3].Serve = func(w http.ResponseWriter, ex *access.Exchange) error {
			close(started)
			<-ex.Request.Context().Done() // a page that shows events as they come
			return nil
		}
	})
	ended := make(chan struct{})
	go func() { h.do(request("POST", "/.sallyport/console/settings", "a=1")); close(ended) }()
	<-started
	h.plan.rooms.Streams.Cut("l1")
	<-ended
}
