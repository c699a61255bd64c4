package waf

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strconv"
	"sync/atomic"

	"github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

// Deps are what an Engine needs from others.
type Deps struct {
	Meter observe.Meter // nil counts nothing
	Log   *slog.Logger  // nil logs nothing
}

// Engine judges requests. It is immutable and may be used by many goroutines. The
// zero Engine and nil answer every request with an error.
type Engine struct {
	config   Config
	strict   access.Mode // the strictest mode of any site
	waf      coraza.WAF  // nil when strict is Off
	rules    map[int]rule
	findings observe.Counter
	failures observe.Counter
	log      *slog.Logger
	turns    chan struct{} // holds one for each request that is being judged
	built    bool
	closed   atomic.Bool
}

// errNoEngine closes the way when there is nothing to judge with.
var errNoEngine = errors.New("waf: no engine")

// New builds an engine from a configuration; it takes about 0.3 s and 20 MiB for
// the first, much less for further ones. Coraza asks for a temporary folder that can
// be written to, though nothing of a request is ever written there.
func New(c Config, d Deps) (*Engine, error) {
	if err := c.problems(); err != nil {
		return nil, err
	}
	c = c.WithDefaults()
	return newEngine(c, d, directives(c))
}

// newEngine builds an engine from a checked configuration and SecLang.
func newEngine(c Config, d Deps, secLang string) (*Engine, error) {
	if d.Meter == nil {
		d.Meter = observe.Discard{}
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		config: c,
		strict: modeNamed(c.Mode),
		rules:  map[int]rule{},
		log:    d.Log,
		turns:  make(chan struct{}, runtime.GOMAXPROCS(0)),
		built:  true,
		findings: d.Meter.Counter("sallyport_waf_findings_total",
			"What the rules of the WAF found, by rule and by the site's mode.", "rule", "mode"),
		failures: d.Meter.Counter("sallyport_waf_failures_total",
			"Requests that the WAF could not judge, by the site's mode.", "mode"),
	}
	if e.strict == access.Off {
		return e, nil
	}
	conf := coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDirectives(secLang)
	conf = experimental.WAFConfigWithRuleObserver(conf, func(m types.RuleMetadata) {
		if r, ok := describe(m); ok {
			e.rules[m.ID()] = r
		}
	})
	var err error
	if e.waf, err = coraza.NewWAF(conf); err != nil {
		return nil, fmt.Errorf("waf: building the rules: %w", err)
	}
	return e, nil
}

// Close frees what the engine's patterns hold in Coraza's process-wide cache. Call
// it when the last request of its Plan has ended; requests that come later are
// answered with an error.
func (e *Engine) Close() error {
	if e == nil || !e.built || !e.closed.CompareAndSwap(false, true) {
		return nil
	}
	if c, ok := e.waf.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// InspectHead judges the request line, query, cookies and headers, with all rules
// for an empty body. It returns nil when the request may go on, an *access.Refusal
// when it may not, and another error when the request could not be judged.
func (e *Engine) InspectHead(ex *access.Exchange) error {
	mode, err := e.mode(ex)
	if err != nil || mode == access.Off {
		return err
	}
	return e.conclude(ex, mode, e.judge(ex.Request.Context(), headOf(ex), e.headBounds(ex)))
}

// InspectBody judges the whole request with its body, as InspectHead does with the
// head. For a stream it judges the fields that came before the first file, and sets
// ex.Body.LateField, which judges those that come later.
func (e *Engine) InspectBody(ex *access.Exchange) error {
	mode, err := e.mode(ex)
	if err != nil {
		return err
	}
	if ex.Body.Stream != nil {
		return e.inspectStream(ex, mode)
	}
	if mode == access.Off || !ex.Body.Present && ex.Body.Open == nil {
		return nil
	}
	return e.conclude(ex, mode, e.judge(ex.Request.Context(), headOf(ex), e.readBody(ex)))
}

// mode tells how strict to be with a request: as strict as the site, and no stricter
// than the configuration. A request without a site is judged like the strictest.
func (e *Engine) mode(ex *access.Exchange) (access.Mode, error) {
	if e == nil || !e.built || e.closed.Load() {
		return access.Enforce, errNoEngine
	}
	if ex == nil || ex.Request == nil {
		return access.Enforce, errors.New("waf: no request to judge")
	}
	// The modes are numbered from strict to lax. A number that is none enforces.
	if ex.Site != nil && ex.Site.WAF <= access.Off {
		return max(e.strict, ex.Site.WAF), nil
	}
	return e.strict, nil
}

func modeNamed(name string) access.Mode {
	switch name {
	case modeShadow:
		return access.Shadow
	case modeOff:
		return access.Off
	}
	return access.Enforce
}

func modeName(m access.Mode) string {
	switch m {
	case access.Shadow:
		return modeShadow
	case access.Off:
		return modeOff
	}
	return modeEnforce
}

// conclude turns a verdict into the gate's answer and leaves the findings on the
// exchange, in the counters and, in shadow mode, in the log.
func (e *Engine) conclude(ex *access.Exchange, mode access.Mode, v verdict) error {
	fresh := v.addTo(ex, mode == access.Enforce)
	return e.settle(ex.Request.Context(), subject{id: ex.ID, site: siteName(ex)}, mode, v, fresh)
}

// subject is how log lines name a request.
type subject struct{ id, site string }

func siteName(ex *access.Exchange) string {
	if ex.Site == nil {
		return ""
	}
	return ex.Site.Name
}

func (e *Engine) count(mode access.Mode, found []access.Finding) {
	for _, f := range found {
		e.findings.Add(1, strconv.Itoa(f.Rule), modeName(mode))
	}
}
