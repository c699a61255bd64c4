package policy

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/units"
)

func TestConfigCheck(t *testing.T) {
	for _, c := range []struct {
		name               string
		cfg                Config
		problems, warnings []string
	}{
		{"the empty configuration is fine", Config{}, nil, nil},
		{"types may be put into areas", Config{Areas: map[string]string{"invoice": "billing", "Lead": "records"}}, nil, nil},
		{"all problems are found at once",
			Config{Areas: map[string]string{"": "users", "a": "nonsense", strings.Repeat("x", 300): "users"}, Deadline: units.Span(time.Minute)},
			[]string{"areas.", "areas.a", "areas." + strings.Repeat("x", 300), "deadline"}, nil},
		{"two spellings of one type in two areas", Config{Areas: map[string]string{"Team": "users", "team": "records"}}, []string{"areas.team"}, nil},
		{"two spellings in one area are fine", Config{Areas: map[string]string{"Team": "users", "team": "users"}}, nil, nil},
		{"a built-in name that is opened to more roles", Config{Areas: map[string]string{"subscription": "records"}}, nil, []string{"areas.subscription"}},
		{"a built-in name that is closed to more roles", Config{Areas: map[string]string{"sequence": "billing"}}, nil, nil},
		{"a deadline below a millisecond", Config{Deadline: 1}, []string{"deadline"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var problems, warnings []string
			c.cfg.Check(
				func(path, what, hint string) { problems = append(problems, path) },
				func(path, what, hint string) { warnings = append(warnings, path) })
			if !slices.Equal(problems, c.problems) || !slices.Equal(warnings, c.warnings) {
				t.Errorf("problems %v, warnings %v; want %v, %v", problems, warnings, c.problems, c.warnings)
			}
		})
	}
	if got := (Config{}).WithDefaults().Deadline.Duration(); got != 250*time.Millisecond {
		t.Errorf("default deadline %v, want 50ms", got)
	}
}

func TestAreasOfTypes(t *testing.T) {
	areas := areasOf(map[string]string{"Invoice": "billing", "subscription": "records"})
	for kind, want := range map[string]string{
		"contact": "records", "user": "users", "Users": "users", "INVOICE": "billing", "invoice": "billing",
		"subscription": "records", "webhook": "integrations", "other": "other", "": "",
	} {
		if got := areaOf(areas, kind); got != want {
			t.Errorf("%q is in %q, want %q", kind, got, want)
		}
	}
	for _, area := range slices.Collect(maps.Values(builtinAreas)) {
		if !slices.Contains(areaNames, area) {
			t.Errorf("a built-in name is put into %q, which is no area", area)
		}
	}
}
