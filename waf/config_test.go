package waf

import (
	"slices"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name            string
		config          Config
		problems, warns []string
	}{
		{"the zero configuration", Config{}, nil, nil},
		{"everything at its best", Config{Mode: "enforce", Paranoia: 4, Preset: "crm", Threshold: 10, Methods: []string{"GET"}, Types: []string{"application/vnd.api+json"},
			Limits: Limits{Arguments: 10_000, Depth: 256, Files: 1000, Head: 1 << 20, Body: 16 << 20}}, nil, nil},
		{"modes that let attacks pass", Config{Mode: "shadow"}, nil, []string{"mode"}},
		{"off", Config{Mode: "off"}, nil, []string{"mode"}},
		{"a high threshold", Config{Threshold: 11}, nil, []string{"threshold"}},
		{"everything wrong", Config{Mode: "on", Paranoia: 5, Preset: "erp", Threshold: 21, Methods: []string{"get", "TRACE", "GET' deny"}, Types: []string{"json", "a/b; c", "*/*"},
			Limits: Limits{Arguments: -1, Depth: 257, Files: 1001, Head: 100, Body: 1 << 30}},
			[]string{"limits.arguments", "limits.body", "limits.depth", "limits.files", "limits.head", "methods[0]", "methods[1]", "methods[2]",
				"mode", "paranoia", "preset", "threshold", "types[0]", "types[1]", "types[2]"}, nil},
		{"negative numbers", Config{Paranoia: -1, Threshold: -5}, []string{"paranoia", "threshold"}, nil},
	} {
		var problems, warns []string
		note := func(to *[]string) func(path, what, hint string) {
			return func(path, what, hint string) {
				if what == "" || hint == "" {
					t.Errorf("%s: %s: %q, %q", c.name, path, what, hint)
				}
				*to = append(*to, path)
			}
		}
		c.config.Check(note(&problems), note(&warns))
		slices.Sort(problems)
		if !slices.Equal(problems, c.problems) || !slices.Equal(warns, c.warns) {
			t.Errorf("%s:\n got problems %q, warnings %q\nwant %q, %q", c.name, problems, warns, c.problems, c.warns)
		}
	}
}

func TestNewBuildsNothingFromAWrongConfiguration(t *testing.T) {
	e, err := New(Config{Methods: []string{"GET'\"\nSecRuleEngine Off"}}, Deps{})
	if err == nil || e != nil {
		t.Errorf("got %v, %v", e, err)
	}
}

func TestTheConfigurationReachesTheRules(t *testing.T) {
	union := request{target: sqli}
	weak := request{header: map[string]string{"User-Agent": ""}} // a notice and a warning at most
	for _, c := range []struct {
		name   string
		config Config
		q      request
		code   string
	}{
		{"an attack that few rules know, threshold 5", Config{}, request{target: "/?i=2.2250738585072011e-308"}, "waf_blocked"},
		{"the same, threshold 6", Config{Threshold: 6}, request{target: "/?i=2.2250738585072011e-308"}, ""},
		{"an anomaly below the threshold", Config{}, weak, ""},
		{"the same, threshold 1", Config{Threshold: 1}, weak, "waf_blocked"},
		{"an attack that many rules know, threshold 10", Config{Threshold: 10}, union, "waf_blocked"},
		{"a quote at paranoia 1", Config{}, request{target: "/?q=a%27%27%27b"}, ""},
		{"a quote at paranoia 4", Config{Paranoia: 4}, request{target: "/?q=a%27%27%27b"}, "waf_blocked"},
		{"PUT by default", Config{}, request{method: "PUT"}, ""},
		{"PUT where only GET is allowed", Config{Methods: []string{"GET"}}, request{method: "PUT"}, "waf_blocked"},
		{"a method of one's own", Config{Methods: []string{"GET", "REPORT"}}, request{method: "REPORT"}, ""},
		{"a type of one's own", Config{Types: []string{"text/vcard"}}, request{typ: "text/vcard", body: "BEGIN:VCARD"}, ""},
		{"JSON where it is not allowed", Config{Types: []string{"text/vcard"}}, jsonRequest(`{}`), "waf_media_type"},
	} {
		if err := through(shared(t, c.config), c.q.exchange(t)); code(err) != c.code {
			t.Errorf("%s: got %v, want %q", c.name, err, c.code)
		}
	}
}
