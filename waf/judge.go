package waf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/sallyport/sallyport/access"
)

// transaction is a Coraza transaction and its variables, which the feeders fill.
type transaction struct {
	types.Transaction
	vars plugintypes.TransactionVariables
}

// set gives a variable with one value. Coraza's own body processors do the same.
func set(v any, value string) error {
	s, ok := v.(interface{ Set(string) })
	if !ok {
		return fmt.Errorf("waf: a variable of type %T cannot be set", v)
	}
	s.Set(value)
	return nil
}

// feeder gives a transaction something of the request. It returns a breach when the
// request cannot be judged by its own fault, another error when by ours.
type feeder func(context.Context, *transaction) error

// judge runs all request rules over a head and what feed adds to it. It never
// panics, and a failure is a verdict that nobody can take for a clean one.
//
// Rules cannot be interrupted, so the time of a judgement is bounded by the size of
// what they see; the context is looked at between the steps.
func (e *Engine) judge(ctx context.Context, h head, feed feeder) (v verdict) {
	defer func() {
		if p := recover(); p != nil {
			e.log.LogAttrs(ctx, slog.LevelError, "waf panicked",
				slog.String("panic", clip(fmt.Sprint(p), maxLogged)), slog.String("stack", clip(string(debug.Stack()), 4096)))
			v = verdict{failure: fmt.Errorf("waf: panic: %s", clip(fmt.Sprint(p), 200))}
		}
	}()
	if e.waf == nil {
		return verdict{failure: errNoEngine}
	}
	if e.turns == nil { // closed: made by hand, without what New gives
		return verdict{failure: errNoEngine}
	}
	if err := e.takeTurn(ctx); err != nil {
		return verdict{failure: err}
	}
	defer func() { <-e.turns }()
	opts, ok := e.waf.(experimental.WAFWithOptions)
	if !ok {
		return verdict{failure: errors.New("waf: Coraza takes no options")}
	}
	// The id is our own, since Coraza would draw random letters for it.
	tx := &transaction{Transaction: opts.NewTransactionWithOptions(experimental.Options{ID: "-", Context: ctx})}
	// A transaction returns to a pool when it is closed. One that panicked does not:
	// its state is unknown. It holds no file and no lock, so it can be forgotten.
	state, ok := tx.Transaction.(plugintypes.TransactionState)
	if !ok {
		return verdict{failure: errors.New("waf: Coraza shows no variables")}
	}
	tx.vars = state.Variables()
	v = e.run(ctx, tx, h, feed)
	if err := tx.Close(); err != nil {
		return verdict{failure: fmt.Errorf("waf: closing a transaction: %w", err)}
	}
	return v
}

// maxWait bounds how long a request waits for its turn to be judged.
const maxWait = 10 * time.Second

// errNoTurn says that too many requests wait to be judged.
var errNoTurn = errors.New("waf: no turn to judge in time")

// takeTurn lets as many requests be judged at once as there are processors. More would
// not be judged sooner, and everything else, such as policy with its deadline, would
// wait behind all of them.
func (e *Engine) takeTurn(ctx context.Context) error {
	select {
	case e.turns <- struct{}{}:
		return nil
	default:
	}
	wait := time.NewTimer(maxWait)
	defer wait.Stop()
	select {
	case e.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errNoTurn, ctx.Err())
	case <-wait.C:
		return errNoTurn
	}
}

// run feeds a transaction and evaluates phases 1 and 2.
func (e *Engine) run(ctx context.Context, tx *transaction, h head, feed feeder) verdict {
	steps := []func() error{
		func() error { return h.feed(tx, e.config.Limits) },
		func() error { return feed(ctx, tx) },
		ctx.Err,
		func() error { tx.ProcessRequestHeaders(); return ctx.Err() },
		func() error { _, err := tx.ProcessRequestBody(); return err },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return e.stopped(tx, err)
		}
		if tx.IsInterrupted() {
			break
		}
	}
	v := verdict{findings: e.findingsOf(tx.MatchedRules())}
	if it := tx.Interruption(); it != nil {
		v.refusal = refusalFor(it.RuleID)
		if len(v.findings) == 0 { // a refusal always says why
			v.findings = []access.Finding{{Rule: it.RuleID, Message: "Request refused", Severity: "CRITICAL"}}
		}
	}
	return v
}

// stopped is the verdict when a step could not be done.
func (e *Engine) stopped(tx *transaction, err error) verdict {
	b, ok := errors.AsType[breach](err)
	if !ok {
		return verdict{failure: fmt.Errorf("waf: judging: %w", err)}
	}
	found := append(e.findingsOf(tx.MatchedRules()),
		access.Finding{Rule: int(b), Message: b.message(), Severity: "CRITICAL"})
	return verdict{findings: found, refusal: b.refusal()}
}

// refusalFor tells our own rules, which say what is wrong, from those of CRS.
func refusalFor(id int) *access.Refusal {
	if b := breach(id); b >= breachValues && b <= breachHeader {
		return b.refusal()
	}
	return blocked()
}

// unique gives a string memory of its own. Coraza's cache of transformed values
// takes two values whose names lie at the same address for one, now and then, as it
// walks its maps in random order; then one of them is not judged at all. Names that
// we hand over never share memory.
func unique(name string) string { return strings.Clone(name) }
