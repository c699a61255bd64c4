package waf

import (
	"context"
	"strings"
	"testing"
)

func TestSelfTestPassesInEveryConfiguration(t *testing.T) {
	for name, c := range map[string]Config{
		"the defaults":          {},
		"preset crm":            {Preset: "crm"},
		"paranoia 2":            {Paranoia: 2},
		"paranoia 4":            {Paranoia: 4},
		"the highest threshold": {Threshold: maxThreshold},
		"the lowest threshold":  {Threshold: 1},
		"shadow":                {Mode: "shadow"},
		"off":                   {Mode: "off"},
		"reading only":          {Methods: []string{"GET", "HEAD"}},
		"posting only":          {Methods: []string{"POST"}},
		"narrow limits":         {Limits: Limits{Arguments: 1, Depth: 1, Files: 1, Head: 1024, Body: 1024}},
		"one media type":        {Types: []string{"text/plain"}},
	} {
		if err := shared(t, c).SelfTest(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSelfTestFindsBrokenRules(t *testing.T) {
	whole := directives(Config{}.WithDefaults())
	for name, c := range map[string]struct{ secLang, says string }{
		"no rules at all":                {"SecRuleEngine On", "did not find"},
		"rules that are off":             {strings.Replace(whole, "SecRuleEngine On", "SecRuleEngine Off", 1), "did not find"},
		"rules that only look":           {strings.Replace(whole, "SecRuleEngine On", "SecRuleEngine DetectionOnly", 1), "not refused"},
		"no blocking rule":               {whole + "\nSecRuleRemoveById 949110", "not refused"},
		"no SQL rules":                   {whole + "\nSecRuleRemoveById 942000-942999", "did not find"},
		"Coraza's prefilter":             {strings.Replace(whole, "SecRxPreFilter Off", "SecRxPreFilter On", 1), "prefilter"},
		"a rule against all":             {whole + "\n" + `SecAction "id:99999,phase:1,deny,status:403,log,msg:'no'"`, "self-test"},
		"a rule against honest requests": {whole + "\n" + `SecRule REQUEST_FILENAME "@streq /contacts" "id:99999,phase:1,deny,status:403,log,msg:'no'"`, "taken for an attack"},
	} {
		e, err := newEngine(Config{}.WithDefaults(), Deps{}, c.secLang)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := e.SelfTest(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.says)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSelfTestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := shared(t, Config{}).SelfTest(ctx); err == nil {
		t.Error("passed without time")
	}
}

func TestSelfTestCountsNothing(t *testing.T) {
	m := &meter{}
	e, err := New(Config{}, Deps{Meter: m})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.SelfTest(t.Context()); err != nil || len(m.seen) > 0 {
		t.Errorf("got %v, counted %v", err, m.seen)
	}
}
