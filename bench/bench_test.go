package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bench/job"
)

func TestCPUTimeGrowsWithWorkAndNotWithTime(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	for i := range uint64(200_000_000) {
		sum += i ^ sum>>3
	}
	after, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after-before < 10*time.Millisecond {
		t.Errorf("200 million steps took %v of CPU (%d)", after-before, sum)
	}
	if _, err := cpuTime(1 << 22); err == nil {
		t.Error("a process that does not exist has a CPU clock")
	}
}

func TestPinnedProcessesGetTheirCoresOnly(t *testing.T) {
	set, err := allowed()
	if err != nil {
		t.Fatal(err)
	}
	cores := set.cores()
	last := cores[len(cores)-1:]
	var inside cpuSet
	if err := pinned(last, func() (err error) { inside, err = allowed(); return err }); err != nil {
		t.Fatal(err)
	}
	if inside != setOf(last) {
		t.Errorf("inside: cores %v, want %v", inside.cores(), last)
	}
	if after, _ := allowed(); after != set {
		t.Errorf("afterwards: cores %v, want %v", after.cores(), cores)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		list []float64
		want spread
	}{
		{nil, spread{}}, {[]float64{3}, spread{3, 3, 3}}, {[]float64{9, 1}, spread{5, 1, 9}}, {[]float64{9, 2, 1}, spread{2, 1, 9}}, {[]float64{4, 3, 2, 1}, spread{2.5, 1, 4}},
	} {
		if got := spreadOf(c.list); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.list, got, c.want)
		}
	}
}

// row is a scenario whose gateway costs twice the floor in one round and four times in the other.
func row() measured {
	return measured{scenario: scenario{ID: "get", Title: "GET", columns: map[string]string{floorName: floorName, noWAF: noWAF}, reach: map[string]float64{noWAF: 1.5}},
		Samples: map[string][]sample{
			floorName: {{CPU: 50 * time.Microsecond, Requests: 9, Busy: 1}, {CPU: 25 * time.Microsecond, Requests: 9, Busy: 1}},
			noWAF:     {{CPU: 100 * time.Microsecond, Requests: 9, Busy: 0.5}, {CPU: 100 * time.Microsecond, Requests: 9, Busy: 1}},
		}}
}

func TestARatioIsTakenWithinARound(t *testing.T) {
	if got, want := row().ratio(noWAF), (spread{3, 2, 4}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTheTableSaysWhatWasMeasuredAndWhatWasNot(t *testing.T) {
	var b bytes.Buffer
	printTable(&b, conditions{Rounds: 2, Go: "go1.26", LoadBefore: "1.0 2.0", LoadAfter: "3.0 4.0"}, []measured{row()})
	for _, want := range []string{
		"| GET ", "| 38 (25–50) ", "| 100 (100–100)* ", "| **3.00** (2.00–4.00) ", "| – ", "load average 1.0 2.0 before, 3.0 4.0 after", "not pinned",
		"not yet reached: GET, no waf: 3.00, want at most 1.50",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}

func TestJSONHoldsTheRatiosAndTheSamples(t *testing.T) {
	var b bytes.Buffer
	if err := printJSON(&b, conditions{Rounds: 2}, []measured{row()}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Rows []struct {
			ID      string
			Ratio   map[string]spread
			Samples map[string][]sample
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 1 || got.Rows[0].ID != "get" || got.Rows[0].Ratio[noWAF].Median != 3 || len(got.Rows[0].Samples[floorName]) != 2 {
		t.Errorf("got %s", &b)
	}
}

func TestTheJournalIsCounted(t *testing.T) {
	dir := t.TempDir()
	lines := `{"v":1,"seq":1}
{"id":"1","action":"create","outcome":"intended"}
{"v":1,"seq":2}
{"id":"1","action":"create","outcome":"done"}
{"v":1,"seq":3}
{"id":"2","action":"login","outcome":"intended"}
`
	if err := os.WriteFile(filepath.Join(dir, "segment-00000000000000000001.jsonl"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	for posts, wrong := range map[int]bool{1: false, 2: true, 0: true} {
		if err := (&target{name: "x", audit: dir, posts: posts}).audited(); (err != nil) != wrong {
			t.Errorf("%d posts: %v", posts, err)
		}
	}
}

func TestTheProviderGivesATokenOnceAndToItsClientOnly(t *testing.T) {
	p, err := startIDP()
	if err != nil {
		t.Fatal(err)
	}
	code := func() string {
		w := httptest.NewRecorder()
		p.authorize(w, httptest.NewRequestWithContext(t.Context(), "GET", "/authorize?client_id=c&nonce=n&state=s&redirect_uri=https%3A%2F%2Fcrm.test%2Fback&code_challenge="+
			"n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg", nil)) // the SHA-256 of "test"
		to, err := url.Parse(w.Header().Get("Location"))
		if err != nil || to.Host != "crm.test" || to.Query().Get("state") != "s" {
			t.Fatalf("sent to %v: %v", to, err)
		}
		return to.Query().Get("code")
	}
	exchange := func(code, verifier string) (int, string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/token", strings.NewReader(url.Values{"code": {code}, "code_verifier": {verifier}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		p.token(w, r)
		return w.Code, w.Body.String()
	}
	if status, body := exchange(code(), "wrong"); status != http.StatusBadRequest {
		t.Errorf("a wrong verifier: %d %s", status, body)
	}
	good := code()
	if status, body := exchange(good, "test"); status != http.StatusOK || !strings.Contains(body, "id_token") {
		t.Errorf("the right verifier: %d %s", status, body)
	}
	if status, _ := exchange(good, "test"); status != http.StatusBadRequest {
		t.Errorf("the same code again: %d", status)
	}
}

func TestAProcessThatDoesNotListenTellsWhy(t *testing.T) {
	h := &house{dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(h.dir, "broken"), []byte("#!/bin/sh\necho the port is taken >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	defer h.stop()
	p, err := h.start(context.WithoutCancel(t.Context()), nil, "broken", "broken")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.firstLine(); err == nil || !strings.Contains(err.Error(), "the port is taken") {
		t.Errorf("got %v", err)
	}
}

func TestEveryScenarioNamesTargetsThatExist(t *testing.T) {
	known := map[string]bool{floorName: true}
	for _, g := range gateways() {
		known[g.name] = true
	}
	for _, s := range scenarios() {
		if s.columns[floorName] != floorName {
			t.Errorf("%s has no floor to be compared with", s.ID)
		}
		for column, name := range s.columns {
			if !known[name] {
				t.Errorf("%s, %s: no target %q", s.ID, column, name)
			}
		}
		if s.kind.Answer(job.Tenant, nil) == nil {
			t.Errorf("%s expects no answer", s.ID)
		}
	}
}
