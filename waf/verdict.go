package waf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// Bounds of what one request may leave on its exchange and in the log.
const (
	maxFindings = 64  // on one exchange
	maxFields   = 8   // of one rule
	maxField    = 96  // bytes of a field's name
	maxLogged   = 600 // bytes of one line about findings
)

// verdict is what a judgement came to. The zero verdict is a clean request.
type verdict struct {
	findings []access.Finding
	refusal  *access.Refusal // what the client is told when the request is refused
	failure  error           // the request could not be judged
}

// addTo leaves the findings on the exchange, those that are not on it yet, and
// returns these. The body's judgement repeats the head's, so many come twice.
func (v *verdict) addTo(ex *access.Exchange, enforced bool) []access.Finding {
	known := make(map[access.Finding]bool, len(ex.Findings))
	for _, f := range ex.Findings {
		f.Blocked = false
		known[f] = true
	}
	var fresh []access.Finding
	for _, f := range v.findings {
		if known[f] || len(ex.Findings) >= maxFindings {
			continue
		}
		known[f] = true
		fresh = append(fresh, f)
		f.Blocked = enforced && v.refusal != nil
		ex.Findings = append(ex.Findings, f)
	}
	return fresh
}

// settle counts, logs and answers.
func (e *Engine) settle(ctx context.Context, s subject, mode access.Mode, v verdict, fresh []access.Finding) error {
	e.count(mode, fresh)
	if v.failure != nil {
		if ctx.Err() == nil { // a client that went away is nobody's failure
			e.failures.Add(1, modeName(mode))
		}
		if mode == access.Enforce {
			return v.failure // closed: the corridor answers 503
		}
		e.log.LogAttrs(ctx, slog.LevelError, "waf could not judge a request and let it pass, as the site is in shadow mode",
			slog.String("request", s.id), slog.String("site", s.site), slog.String("error", clip(v.failure.Error(), maxLogged)))
		return nil
	}
	if v.refusal == nil {
		return nil
	}
	summary := summarize(v.findings)
	if mode == access.Enforce {
		v.refusal.Counted = true
		return v.refusal.Because(errors.New(summary))
	}
	if len(fresh) > 0 {
		e.log.LogAttrs(ctx, slog.LevelWarn, "waf would have refused a request",
			slog.String("request", s.id), slog.String("site", s.site),
			slog.Int("status", v.refusal.Status), slog.String("found", summary))
	}
	return nil
}

// summarize names rules and fields, for the log alone. It holds no value that the
// client sent, and is bounded, or a client would write our log.
func summarize(found []access.Finding) string {
	var b strings.Builder
	for i, f := range found {
		part := strconv.Itoa(f.Rule)
		if f.Field != "" {
			part += " in " + f.Field
		}
		if b.Len()+len(part) > maxLogged {
			fmt.Fprintf(&b, " and %d more", len(found)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(part)
	}
	return b.String()
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
