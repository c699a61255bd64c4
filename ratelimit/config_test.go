package ratelimit

import (
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport/units"
)

func TestConfigDefaults(t *testing.T) {
	got := Config{}.WithDefaults()
	want := Config{
		PerAddress: perSecond(50), AddressBurst: 200, PerUser: perSecond(20), UserBurst: 80,
		PerTenant: perSecond(500), TenantBurst: 2000, SharedTimeout: units.Span(50 * time.Millisecond),
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	slow := Config{PerUser: units.Rate{Count: 6, Per: time.Minute}}.WithDefaults()
	if slow.UserBurst != 10 {
		t.Errorf("the burst of 6/m is %d, want at least 10", slow.UserBurst)
	}
	fast := Config{PerUser: perSecond(1e9)}.WithDefaults()
	if fast.UserBurst != maxBurst {
		t.Errorf("the burst of 1000000000/s is %d, want the largest, %d", fast.UserBurst, maxBurst)
	}
}

func TestConfigCheck(t *testing.T) {
	for _, c := range []struct {
		name               string
		cfg                Config
		problems, warnings []string
	}{
		{"the empty configuration is fine", Config{}, nil, nil},
		{"the defaults are fine", Config{}.WithDefaults(), nil, nil},
		{"all problems are found at once",
			Config{AddressBurst: -1, UserBurst: maxBurst + 1, TenantBurst: -5, SharedTimeout: units.Span(time.Minute), PerUser: units.Rate{Count: -1, Per: time.Second}},
			[]string{"address_burst", "user_burst", "tenant_burst", "per_user", "shared_timeout"}, nil},
		{"a timeout below a millisecond", Config{SharedTimeout: 1}, []string{"shared_timeout"}, nil},
		{"a user with more than the tenant", Config{PerUser: perSecond(600)}, nil, []string{"per_user"}},
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
}
