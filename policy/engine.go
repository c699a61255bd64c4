package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

// Deps is what this room needs from outside. Whatever is nil has a stand-in.
type Deps struct {
	Meter observe.Meter // counts nothing
	Log   *slog.Logger  // says nothing
}

// Engine decides. It is immutable and safe for any number of goroutines. The zero
// Engine denies everything.
type Engine struct {
	query     rego.PreparedEvalQuery
	areas     map[string]string
	revision  string // "" in the zero Engine
	deadline  time.Duration
	decisions observe.Counter
	seconds   observe.Histogram
}

// New compiles the built-in policy and tries it. An error means that there is no
// policy to go by; the caller goes on with its old Engine, or does not start.
func New(ctx context.Context, cfg Config, deps Deps) (*Engine, error) {
	modules, err := builtinModules()
	if err != nil {
		return nil, fmt.Errorf("read the built-in policy: %w", err)
	}
	return newFrom(ctx, cfg, deps, modules)
}

// newFrom compiles modules and tries them.
func newFrom(ctx context.Context, cfg Config, deps Deps, modules map[string]string) (*Engine, error) {
	e, err := build(ctx, cfg, deps, modules)
	if err != nil {
		return nil, err
	}
	if err := e.selfCheck(ctx); err != nil {
		return nil, fmt.Errorf("self-check of policy %s: %w", e.revision, err)
	}
	return e, nil
}

// build compiles modules into an Engine that nobody has tried yet.
func build(ctx context.Context, cfg Config, deps Deps, modules map[string]string) (*Engine, error) {
	cfg = cfg.WithDefaults()
	if deps.Meter == nil {
		deps.Meter = observe.Discard{}
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	query, err := compile(ctx, modules)
	if err != nil {
		return nil, fmt.Errorf("compile the policy: %w", err)
	}
	e := &Engine{
		query:    query,
		areas:    areasOf(cfg.Areas),
		deadline: min(max(cfg.Deadline, minDeadline), maxDeadline).Duration(),
		decisions: deps.Meter.Counter("sallyport_policy_decisions_total",
			"Decisions of the policy: allow, deny, or error (which denies).", "result"),
		seconds: deps.Meter.Histogram("sallyport_policy_decision_seconds",
			"How long one decision took.", []float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 1e-3, 5e-3, 25e-3, 100e-3}),
	}
	e.revision = revision(modules, e.areas)
	deps.Log.InfoContext(ctx, "policy compiled", slog.String("revision", e.revision), slog.Int("modules", len(modules)))
	return e, nil
}

// Revision names the policy and the areas that decide: 16 hexadecimal digits that are
// the same on every instance with the same policy. "" for the zero Engine.
func (e *Engine) Revision() string {
	if e == nil {
		return ""
	}
	return e.revision
}

// Authorize says whether the exchange's identity may do what its route says. With an
// error the decision is a no whose cause is ours (503); without one it is the policy's
// own word.
func (e *Engine) Authorize(ctx context.Context, ex *access.Exchange) (access.Decision, error) {
	if e == nil || e.revision == "" {
		return access.Decision{}, errors.New("there is no policy to decide by")
	}
	start := time.Now()
	d, err := e.decide(ctx, ex)
	e.seconds.Observe(time.Since(start).Seconds())
	switch {
	case err != nil:
		d = access.Decision{Rule: "policy_error", Revision: e.revision}
		e.decisions.Add(1, "error")
	case d.Allow:
		e.decisions.Add(1, "allow")
	default:
		e.decisions.Add(1, "deny")
	}
	return d, err
}

// decide evaluates. Whatever goes wrong, it says so by an error and never by a yes.
func (e *Engine) decide(ctx context.Context, ex *access.Exchange) (d access.Decision, err error) {
	defer func() {
		if p := recover(); p != nil {
			d, err = access.Decision{}, fmt.Errorf("the policy engine panicked: %v", p)
		}
	}()
	in := newInput(ex, e.areas)
	user, err := userTerm(ex.Identity)
	if err == nil {
		err = in.check()
	}
	var beyond *boundsError
	if errors.As(err, &beyond) {
		return access.Decision{Rule: "input_out_of_bounds", Revision: e.revision,
			Reasons: []access.Reason{{ID: "input_out_of_bounds", Text: beyond.Error() + "."}}}, nil
	}
	if err != nil {
		return access.Decision{}, err
	}

	ctx, cancel := context.WithTimeout(ctx, e.deadline)
	defer cancel()
	results, err := e.query.Eval(ctx, rego.EvalParsedInput(in.value(user)), rego.EvalMetrics(metrics.NoOp()))
	if late := ctx.Err(); late != nil { // even with a result: not every built-in function heeds the deadline
		return access.Decision{}, fmt.Errorf("evaluate the policy: %w", errors.Join(late, err))
	}
	if err != nil {
		return access.Decision{}, fmt.Errorf("evaluate the policy: %w", err)
	}
	if d, err = readDecision(results); err != nil {
		return access.Decision{}, fmt.Errorf("read the policy's decision: %w", err)
	}
	d.Revision = e.revision
	return d, nil
}
