package audit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/units"
)

func TestConfigCheck(t *testing.T) {
	for _, c := range []struct {
		name     string
		cfg      Config
		problems string
		warnings string
	}{
		{"the zero value", Config{}, "", ""},
		{"everything set", Config{Dir: "/srv/audit", SegmentSize: units.MiB, OnFailure: "refuse", Deadline: units.Span(time.Second)}, "", ""},
		{"everything wrong", Config{Dir: "audit", SegmentSize: 5, OnFailure: "ignore", Deadline: 1}, "dir segment_size on_failure deadline", ""},
		{"too much", Config{SegmentSize: 2 * units.GiB, Deadline: units.Span(time.Minute)}, "segment_size deadline", ""},
		{"continue", Config{OnFailure: OnFailureContinue}, "", "on_failure"},
		{"a folder that is emptied", Config{Dir: "/tmp/x/../audit"}, "", "dir"},
		{"a folder that only looks so", Config{Dir: "/tmpfiles"}, "", ""},
	} {
		var problems, warnings []string
		note := func(list *[]string) func(path, what, hint string) {
			return func(path, what, hint string) {
				*list = append(*list, path)
				if what == "" || hint == "" {
					t.Errorf("%s: %s is not explained", c.name, path)
				}
			}
		}
		c.cfg.Check(note(&problems), note(&warnings))
		if got := fmt.Sprint(problems, warnings); got != fmt.Sprint(strings.Fields(c.problems), strings.Fields(c.warnings)) {
			t.Errorf("%s: problems and warnings %s", c.name, got)
		}
	}
	if _, err := New(Options{Config: Config{OnFailure: "ignore"}}); err == nil || !strings.Contains(err.Error(), "audit.on_failure") {
		t.Errorf("New with a wrong configuration = %v", err)
	}
	if _, err := New(Options{}); err == nil {
		t.Error("New without its dependencies succeeds")
	}
}
