package proxy

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/sallyport/sallyport/access"
)

func TestAGateThatCannotAnswerAClientWhoHasGoneIsNoOutage(t *testing.T) {
	for _, c := range []struct {
		name   string
		gone   bool
		err    error
		status int
	}{
		{"gone, and the gate gave up", true, context.Canceled, 499},
		{"gone, and the gate says unavailable", true, access.Unavailable("policy", context.Canceled), 499},
		{"gone, but the gate had decided", true, access.Refuse(http.StatusForbidden, "no", "", ""), 403},
		{"there, and the gate is out of order", false, errors.New("broken"), 503},
	} {
		h := newHouse(t, func(_ *Config, r *Rooms) {
			waf := r.WAF.(fakeWAF)
			waf.head = func(*access.Exchange) error { return c.err }
			r.WAF = waf
		})
		r := request("GET", "/api/contacts/7", "")
		if c.gone {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			r = r.WithContext(ctx)
		}
		if w := h.do(r); w.Code != c.status || h.hits.Load() != 0 {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.status)
		}
	}
}
