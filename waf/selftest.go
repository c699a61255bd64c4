package waf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

// probe is a request of the self-test.
type probe struct {
	name   string
	method string
	target string
	body   string // JSON
	rule   int    // one that must be among the findings; 0 for an honest request
	score  int    // at least, at paranoia level 1
}

// probes are attacks that score at least maxThreshold at paranoia level 1, one that
// only works while Coraza's prefilter is off, and an honest request.
func probes() []probe {
	const attack = `x' union select user,password from mysql.user where 1=sleep(5)-- <script>alert(document.cookie)</script>`
	escaped := strings.NewReplacer(" ", "%20", "<", "%3C", ">", "%3E", "'", "%27").Replace(attack)
	return []probe{
		{name: "an attack in the query", target: "/?q=" + escaped, rule: 942100, score: maxThreshold},
		{name: "an attack in a JSON body", target: "/", body: `{"note":"` + attack + `"}`, rule: 942100, score: maxThreshold},
		{name: "a value that Coraza's prefilter loses", target: "/?i=2.2250738585072011e-308", rule: 942220, score: 5},
		{name: "an honest request", target: "/contacts?page=2", body: `{"name":"Ada"}`},
	}
}

// SelfTest fires known attacks through the live rules, as a site in each mode would,
// and returns an error when one is not found, or not refused where the mode refuses,
// or when an honest request is. It leaves nothing in counters and logs. A
// configuration whose mode is off has nothing to test.
func (e *Engine) SelfTest(ctx context.Context) error {
	if e == nil || !e.built || e.closed.Load() {
		return errNoEngine
	}
	if e.strict == access.Off {
		return nil
	}
	// The same rules, which count and log nowhere.
	quiet := &Engine{turns: e.turns,
		config: e.config, strict: e.strict, waf: e.waf, rules: e.rules, built: true,
		findings: observe.Discard{}, failures: observe.Discard{}, log: slog.New(slog.DiscardHandler),
	}
	for _, mode := range []access.Mode{access.Enforce, access.Shadow} {
		for _, p := range probes() {
			p.method = e.config.allowed(p.body != "")
			if p.method == "" {
				continue // no request with a body can pass
			}
			if err := quiet.fire(ctx, p, mode); err != nil {
				return fmt.Errorf("waf: self-test: %s, mode %s: %w", p.name, modeName(mode), err)
			}
		}
	}
	return nil
}

// fire sends one probe as the corridor would and says what is wrong with the answer.
func (e *Engine) fire(ctx context.Context, p probe, mode access.Mode) error {
	ex := p.exchange(ctx, mode)
	err := e.InspectHead(ex)
	if err == nil && ex.Body.Present {
		err = e.InspectBody(ex)
	}
	if mode, _ = e.mode(ex); mode == access.Shadow && err != nil {
		return fmt.Errorf("refused in shadow mode: %w", err)
	}
	refusal, refused := errors.AsType[*access.Refusal](err)
	switch {
	case err != nil && !refused:
		return err
	case p.rule == 0 && refused:
		return fmt.Errorf("taken for an attack: %s", summarize(ex.Findings))
	case p.rule == 0:
		return nil
	case !slices.ContainsFunc(ex.Findings, func(f access.Finding) bool { return f.Rule == p.rule }):
		return fmt.Errorf("rule %d did not find it", p.rule)
	case mode == access.Enforce && p.score >= e.config.Threshold && (!refused || refusal.Status != http.StatusForbidden):
		return errors.New("found, but not refused")
	}
	return nil
}

// allowed is a method that requests with or without a body may have, "" for none.
func (c Config) allowed(body bool) string {
	candidates := []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions, http.MethodPut}
	if body {
		candidates = []string{http.MethodPost, http.MethodPut, http.MethodPatch}
	}
	for _, m := range candidates {
		if slices.Contains(c.Methods, m) {
			return m
		}
	}
	if body {
		return ""
	}
	return c.Methods[0]
}

// exchange is the probe as a browser would send it.
func (p probe) exchange(ctx context.Context, mode access.Mode) *access.Exchange {
	path, query, _ := strings.Cut(p.target, "?")
	r := (&http.Request{
		Method: p.method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "self-test.invalid",
		Header: http.Header{"User-Agent": {"Mozilla/5.0"}, "Accept": {"*/*"}},
	}).WithContext(ctx)
	ex := &access.Exchange{
		Request: r, ID: "self-test",
		Target: access.Target{Raw: p.target, Path: path, RawQuery: query},
		Site:   &access.Site{Name: "self-test", WAF: mode},
	}
	if p.body != "" {
		r.ContentLength = int64(len(p.body))
		r.Header.Set("Content-Type", "application/json")
		ex.Body = access.Body{
			Present: true, MediaType: "application/json", Size: r.ContentLength,
			Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(p.body)), nil },
		}
		ex.Route.Body.Types = []string{"application/json"}
	}
	return ex
}
