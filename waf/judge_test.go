package waf

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

// watched is Coraza with its transactions in our hands.
type watched struct {
	coraza.WAF
	opened, closed int
	headers        func()       // called before phase 1
	body           func() error // its error is phase 2's
	closing        error
	hideVariables  bool
}

func (w *watched) NewTransactionWithOptions(o experimental.Options) types.Transaction {
	w.opened++
	tx := w.WAF.(experimental.WAFWithOptions).NewTransactionWithOptions(o)
	if w.hideVariables {
		return struct{ types.Transaction }{tx}
	}
	return &watchedTx{Transaction: tx, state: state{tx.(plugintypes.TransactionState)}, w: w}
}

type state struct{ plugintypes.TransactionState }

type watchedTx struct {
	types.Transaction
	state
	w *watched
}

func (tx *watchedTx) ProcessRequestHeaders() *types.Interruption {
	if tx.w.headers != nil {
		tx.w.headers()
	}
	return tx.Transaction.ProcessRequestHeaders()
}

func (tx *watchedTx) ProcessRequestBody() (*types.Interruption, error) {
	if tx.w.body != nil {
		return nil, tx.w.body()
	}
	return tx.Transaction.ProcessRequestBody()
}

func (tx *watchedTx) Close() error {
	tx.w.closed++
	return errors.Join(tx.w.closing, tx.Transaction.Close())
}

// on is the shared engine over another Coraza.
func on(t *testing.T, waf coraza.WAF) *Engine {
	e := shared(t, Config{})
	return &Engine{config: e.config, strict: e.strict, waf: waf, rules: e.rules, turns: e.turns, built: true,
		findings: observe.Discard{}, failures: observe.Discard{}, log: slog.New(slog.DiscardHandler)}
}

func TestEveryTransactionIsClosed(t *testing.T) {
	for name, q := range map[string]request{
		"honest": jsonRequest(`{"name":"Ada"}`), "an attack": {target: sqli}, "broken": jsonRequest(`{`), "shadow": {target: sqli, mode: access.Shadow},
	} {
		w := &watched{WAF: shared(t, Config{}).waf}
		_ = through(on(t, w), q.exchange(t))
		if w.opened == 0 || w.closed != w.opened {
			t.Errorf("%s: %d transactions opened, %d closed", name, w.opened, w.closed)
		}
	}
}

func TestAFailingCorazaLetsNothingThrough(t *testing.T) {
	whole := shared(t, Config{}).waf
	for name, waf := range map[string]coraza.WAF{
		"it is missing":            nil,
		"it takes no options":      struct{ coraza.WAF }{whole},
		"it shows no variables":    &watched{WAF: whole, hideVariables: true},
		"it panics":                &watched{WAF: whole, headers: func() { panic("canary") }},
		"it fails":                 &watched{WAF: whole, body: func() error { return errors.New("no") }},
		"it cannot end":            &watched{WAF: whole, closing: errors.New("no")},
		"it panics with an error":  &watched{WAF: whole, body: func() error { panic(errors.New("canary")) }},
		"it panics about anything": &watched{WAF: whole, body: func() error { var m map[string]int; m["a"] = 1; return nil }},
	} {
		e := on(t, waf)
		if err := e.InspectHead(request{}.exchange(t)); code(err) != "failure" {
			t.Errorf("%s: the head got %v", name, err)
		}
		if err := e.InspectBody(jsonRequest(`{}`).exchange(t)); code(err) != "failure" {
			t.Errorf("%s: the body got %v", name, err)
		}
		if err := e.SelfTest(t.Context()); err == nil {
			t.Errorf("%s: the self-test passed", name)
		}
	}
}
