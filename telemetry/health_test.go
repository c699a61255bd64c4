package telemetry

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func readyz(t *testing.T, tel *Telemetry) (int, Report) {
	t.Helper()
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	var r Report
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return w.Code, r
}

func TestReadyz(t *testing.T) {
	broken := errors.New("disk full")
	for _, c := range []struct {
		name   string
		do     func(*Telemetry)
		code   int
		status State
	}{
		{"nothing has reported", func(*Telemetry) {}, 503, Starting},
		{"all are well", func(tel *Telemetry) { tel.Report("edge", true, nil); tel.Report("mail", false, nil) }, 200, Well},
		{"an expected component has not reported", func(tel *Telemetry) { tel.Expect("edge", "waf"); tel.Report("edge", true, nil) }, 503, Starting},
		{"all expected components have reported", func(tel *Telemetry) { tel.Expect("edge"); tel.Report("edge", true, nil) }, 200, Well},
		{"expecting what has reported changes nothing", func(tel *Telemetry) { tel.Report("edge", true, nil); tel.Expect("edge") }, 200, Well},
		{"a fatal component is down", func(tel *Telemetry) { tel.Report("edge", true, nil); tel.Report("journal", true, broken) }, 503, Down},
		{"a component that is not fatal is degraded", func(tel *Telemetry) { tel.Report("edge", true, nil); tel.Report("redis", false, broken) }, 200, Degraded},
		{"a component came back", func(tel *Telemetry) { tel.Report("journal", true, broken); tel.Report("journal", true, nil) }, 200, Well},
	} {
		t.Run(c.name, func(t *testing.T) {
			tel := newTelemetry()
			c.do(tel)
			code, r := readyz(t, tel)
			if code != c.code || r.Status != c.status || r.Ready != (code == 200) {
				t.Errorf("%d, status %s, ready %v; want %d, %s", code, r.Status, r.Ready, c.code, c.status)
			}
		})
	}
}

func TestReadyzTellsSinceWhenAndWhatIsActive(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tel := New(Build{Version: "1.2.3"}, func() time.Time { return now })
	tel.SetActive("c0ffee", "rev7")
	tel.Report("redis", false, errors.New("first\x1b[31m"))
	now = now.Add(time.Minute)
	tel.Report("redis", false, errors.New("second"))
	tel.Report("edge", true, nil)
	_, r := readyz(t, tel)
	if r.Config != "c0ffee" || r.Policy != "rev7" || r.Build.Version != "1.2.3" {
		t.Errorf("active: %+v", r)
	}
	if len(r.Components) != 2 || r.Components[0].Name != "edge" || r.Components[1].Name != "redis" {
		t.Fatalf("components: %+v", r.Components)
	}
	if c := r.Components[1]; !c.Since.Equal(now.Add(-time.Minute)) || c.Detail != "second" {
		t.Errorf("the state did not change, so since must stay and the detail be the last: %+v", c)
	}
	wantLine(t, scrape(t, tel), `sallyport_component_up{component="redis"} 0`)
	now = now.Add(time.Minute)
	tel.Report("redis", false, nil)
	if _, r := readyz(t, tel); !r.Components[1].Since.Equal(now) || r.Components[1].Detail != "" {
		t.Errorf("after it came back: %+v", r.Components[1])
	}
	wantLine(t, scrape(t, tel), `sallyport_component_up{component="redis"} 1`)
}

func TestOpsTable(t *testing.T) {
	tel := newTelemetry()
	tel.Report("edge", true, nil)
	for _, c := range []struct {
		name, method, target, peer, host string
		code                             int
	}{
		{"livez", "GET", "/livez", "10.0.0.9:4000", "10.0.0.1:9901", 200},
		{"livez by HEAD", "HEAD", "/livez", "10.0.0.9:4000", "10.0.0.1:9901", 200},
		{"readyz", "GET", "/readyz", "10.0.0.9:4000", "10.0.0.1:9901", 200},
		{"metrics", "GET", "/metrics", "10.0.0.9:4000", "10.0.0.1:9901", 200},
		{"nothing can be posted", "POST", "/livez", "127.0.0.1:4000", "127.0.0.1:9901", 405},
		{"nothing else is there", "GET", "/", "127.0.0.1:4000", "127.0.0.1:9901", 404},
		{"no path below readyz", "GET", "/readyz/x", "127.0.0.1:4000", "127.0.0.1:9901", 404},
		{"pprof on loopback", "GET", "/debug/pprof/", "127.0.0.1:4000", "127.0.0.1:9901", 200},
		{"pprof on IPv6 loopback", "GET", "/debug/pprof/cmdline", "[::1]:4000", "[::1]:9901", 200},
		{"pprof by localhost", "GET", "/debug/pprof/heap", "127.0.0.1:4000", "localhost:9901", 200},
		{"pprof from elsewhere", "GET", "/debug/pprof/", "10.0.0.9:4000", "127.0.0.1:9901", 403},
		{"pprof by DNS rebinding", "GET", "/debug/pprof/heap", "127.0.0.1:4000", "rebind.evil.test:9901", 403},
		{"pprof of an unknown peer", "GET", "/debug/pprof/heap", "@", "127.0.0.1", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, c.target, nil)
			r.RemoteAddr, r.Host = c.peer, c.host
			w := httptest.NewRecorder()
			tel.Handler().ServeHTTP(w, r)
			if w.Code != c.code {
				t.Errorf("%d, want %d: %s", w.Code, c.code, w.Body)
			}
		})
	}
}

func TestComponentsAreBounded(t *testing.T) {
	tel := newTelemetry()
	for i := range MaxComponents + 10 {
		tel.Report(strings.Repeat("x", i+1), false, nil)
	}
	if n := len(tel.Health().Components); n != MaxComponents {
		t.Errorf("%d components, want %d", n, MaxComponents)
	}
}
