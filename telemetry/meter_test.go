package telemetry

import (
	"fmt"
	"math"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func scrape(t *testing.T, tel *Telemetry) string {
	t.Helper()
	w := httptest.NewRecorder()
	tel.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("/metrics: %d", w.Code)
	}
	return w.Body.String()
}

func wantLine(t *testing.T, text, line string) {
	t.Helper()
	for l := range strings.Lines(text) {
		if strings.TrimSuffix(l, "\n") == line {
			return
		}
	}
	t.Errorf("no line %q in\n%s", line, grep(text, line[:strings.IndexAny(line, " {")]))
}

func grep(text, part string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		if strings.Contains(l, part) {
			b.WriteString(l)
		}
	}
	return b.String()
}

func newTelemetry() *Telemetry {
	return New(Build{Version: "1.2.3", Commit: "abc", Go: "go1.26"}, time.Now)
}

func TestInstrumentsShowInMetrics(t *testing.T) {
	tel := newTelemetry()
	requests := tel.Counter("sallyport_requests_total", "Requests.", "site", "code")
	requests.Add(2, "crm", "200")
	tel.Counter("sallyport_requests_total", "Requests.", "site", "code").Add(1, "crm", "200")
	tel.Gauge("sallyport_open", "Open.").Set(7)
	tel.Histogram("sallyport_seconds", "Seconds.", []float64{1, 2}, "site").Observe(1.5, "crm")
	tel.SetActive("old", "p1")
	tel.SetActive("c0ffee", "p2")
	text := scrape(t, tel)
	for _, line := range []string{
		`sallyport_requests_total{code="200",site="crm"} 3`,
		`sallyport_open 7`,
		`sallyport_seconds_bucket{site="crm",le="2"} 1`,
		`sallyport_config_info{hash="c0ffee",policy="p2"} 1`,
		`sallyport_build_info{commit="abc",go="go1.26",version="1.2.3"} 1`,
	} {
		wantLine(t, text, line)
	}
	if strings.Contains(text, `hash="old"`) {
		t.Error("the configuration that is no longer active still shows")
	}
	if !strings.Contains(text, "\ngo_goroutines ") || !strings.Contains(text, "\nprocess_open_fds ") {
		t.Error("the collectors of the runtime or of the process are missing")
	}
}

func TestRowsAreBounded(t *testing.T) {
	tel := newTelemetry()
	c := tel.Counter("sallyport_bounded_total", "Bounded.", "path")
	for i := range MaxRows + 50 {
		c.Add(1, fmt.Sprintf("/%d", i))
	}
	c.Add(1, "/3") // a row that exists goes on
	text := scrape(t, tel)
	wantLine(t, text, `sallyport_bounded_total{path="other"} 50`)
	wantLine(t, text, `sallyport_bounded_total{path="/3"} 2`)
	wantLine(t, text, `sallyport_metric_overflows_total{metric="sallyport_bounded_total"} 50`)
	if got, want := strings.Count(text, "\nsallyport_bounded_total{"), MaxRows+1; got != want {
		t.Errorf("%d rows, want %d", got, want)
	}
}

func TestOddValuesCostNoRequest(t *testing.T) {
	tel := newTelemetry()
	c := tel.Counter("sallyport_odd_total", "Odd.", "a", "b")
	c.Add(1, "only one")
	c.Add(1)
	c.Add(1, "1", "2", "3")
	c.Add(-1, "x", "y")
	c.Add(math.NaN(), "x", "y")
	c.Add(1, "\xff\xfe", strings.Repeat("l", 1000))
	c.Add(1, "\xff\xfe", strings.Repeat("l", 1000))
	text := scrape(t, tel)
	wantLine(t, text, `sallyport_odd_total{a="other",b="other"} 3`)
	wantLine(t, text, fmt.Sprintf(`sallyport_odd_total{a="?",b="%s"} 2`, strings.Repeat("l", MaxLabelValue)))
	if strings.Contains(text, `a="x"`) {
		t.Error("a counter took a negative or undefined delta")
	}
}

func TestNaNTakesAGaugeRowAway(t *testing.T) {
	tel := newTelemetry()
	g := tel.Gauge("sallyport_expiry", "Expiry.", "host")
	g.Set(1, "a")
	g.Set(2, "b")
	g.Set(math.NaN(), "a")
	g.Set(math.NaN(), "never was")
	text := scrape(t, tel)
	wantLine(t, text, `sallyport_expiry{host="b"} 2`)
	if strings.Contains(text, `host="a"`) {
		t.Error("the row of a still shows")
	}
	g.Set(3, "a")
	wantLine(t, scrape(t, tel), `sallyport_expiry{host="a"} 3`)
}

func TestMistakesOfTheProgrammerPanic(t *testing.T) {
	for name, make := range map[string]func(*Telemetry){
		"the same name as another kind": func(tel *Telemetry) { tel.Counter("sallyport_x", "X."); tel.Gauge("sallyport_x", "X.") },
		"the same name, other labels":   func(tel *Telemetry) { tel.Counter("sallyport_x", "X.", "a"); tel.Counter("sallyport_x", "X.", "b") },
		"the same name, other buckets": func(tel *Telemetry) {
			tel.Histogram("sallyport_x", "X.", []float64{1})
			tel.Histogram("sallyport_x", "X.", []float64{2})
		},
		"more labels than a row holds": func(tel *Telemetry) { tel.Counter("sallyport_x", "X.", "a", "b", "c", "d", "e", "f", "g") },
		"no name":                      func(tel *Telemetry) { tel.Counter("", "X.") },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			make(newTelemetry())
		})
	}
}

func TestAddDoesNotAllocate(t *testing.T) {
	tel := newTelemetry()
	c := tel.Counter("sallyport_fast_total", "Fast.", "site", "code", "method")
	h := tel.Histogram("sallyport_fast_seconds", "Fast.", []float64{0.1, 1}, "site")
	c.Add(1, "crm", "200", "GET")
	h.Observe(0.2, "crm")
	if n := testing.AllocsPerRun(1000, func() { c.Add(1, "crm", "200", "GET"); h.Observe(0.2, "crm") }); n > 2 {
		// The two variadic slices escape through the interface; the lookup costs nothing.
		t.Errorf("%v allocations per Add and Observe, want at most the 2 of the calls themselves", n)
	}
	fast := c.(counter)
	values := []string{"crm", "200", "GET"}
	if n := testing.AllocsPerRun(1000, func() { fast.Add(1, values...) }); n != 0 {
		t.Errorf("%v allocations per lookup of a row that exists, want 0", n)
	}
}

func TestInstrumentsAreSafeForConcurrentUse(t *testing.T) {
	tel := newTelemetry()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			c := tel.Counter("sallyport_many_total", "Many.", "n")
			for i := range 2000 {
				c.Add(1, fmt.Sprint(i))
			}
		})
	}
	wg.Wait()
	wantLine(t, scrape(t, tel), `sallyport_many_total{n="other"} 4000`)
}
