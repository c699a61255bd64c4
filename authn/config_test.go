package authn

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/units"
)

func TestConfigCheck(t *testing.T) {
	span := func(d time.Duration) units.Span { return units.Span(d) }
	day := 24 * time.Hour
	for _, c := range []struct {
		name            string
		access, refresh units.Span
		problems, warns string
	}{
		{"nothing said", 0, 0, "", ""},
		{"shorter", span(5 * time.Minute), span(day), "", ""},
		{"both too short", span(time.Second), span(time.Millisecond), "session.access session.refresh", ""},
		{"both too long", span(25 * time.Hour), span(91 * day), "session.access session.refresh", ""},
		{"the session ends before its token", span(time.Hour), span(time.Minute), "session.refresh", ""},
		{"long, and said so", span(2 * time.Hour), span(30 * day), "", "session.access session.refresh"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var problems, warns []string
			cfg := Config{Session: SessionConfig{Access: c.access, Refresh: c.refresh}}
			cfg.Check(func(path, what, hint string) { problems = append(problems, path) }, func(path, what, hint string) { warns = append(warns, path) })
			if got := strings.Join(problems, " "); got != c.problems {
				t.Errorf("problems at %q, want %q", got, c.problems)
			}
			if got := strings.Join(warns, " "); got != c.warns {
				t.Errorf("warnings at %q, want %q", got, c.warns)
			}
		})
	}
	d := Config{}.WithDefaults().Session
	if d.Access.Duration() != time.Hour || d.Refresh.Duration() != 168*time.Hour {
		t.Errorf("the defaults are %+v, want 1h and 168h", d)
	}
}
