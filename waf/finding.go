package waf

import (
	"strings"

	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"

	"github.com/sallyport/sallyport/access"
)

// rule is what a finding tells about a rule, taken from the rule's text when it is
// loaded: the message that Coraza expands at run time can hold what the client sent.
type rule struct {
	message  string
	severity string
}

// describe reads a rule's own text. Rules that only steer others (no message, or
// nolog) and those that add up the scores are no findings.
func describe(m types.RuleMetadata) (rule, bool) {
	raw := m.Raw()
	_, rest, ok := strings.Cut(raw, "msg:'")
	if !ok || m.ID() == 0 || m.ID()/1000 == 949 || m.ID()/1000 == 901 {
		return rule{}, false
	}
	text, _, ok := strings.Cut(rest, "'")
	if !ok {
		return rule{}, false
	}
	r := rule{message: withoutMacros(text), severity: "UNKNOWN"}
	if m.Severity() >= 0 {
		r.severity = strings.ToUpper(m.Severity().String())
	}
	return r, true
}

// withoutMacros removes %{…} and brackets that are empty then.
func withoutMacros(text string) string {
	for {
		before, rest, ok := strings.Cut(text, "%{")
		if !ok {
			break
		}
		_, after, ok := strings.Cut(rest, "}")
		if !ok {
			break
		}
		text = before + after
	}
	return strings.TrimSpace(strings.ReplaceAll(text, "()", ""))
}

// findingsOf lists what matched, rule by rule and field by field, within bounds.
func (e *Engine) findingsOf(matched []types.MatchedRule) []access.Finding {
	var found []access.Finding
	for _, m := range matched {
		id := m.Rule().ID()
		r, ok := e.rules[id]
		if !ok {
			continue
		}
		seen := make(map[string]bool, 1)
		for _, d := range m.MatchedDatas() {
			field := fieldOf(d)
			if seen[field] || d.Variable() == variables.TX && len(m.MatchedDatas()) > 1 {
				continue // a chain's inner state says nothing to people
			}
			seen[field] = true
			found = append(found, access.Finding{Rule: id, Message: r.message, Field: field, Severity: r.severity})
			if len(seen) == maxFields || len(found) == maxFindings {
				break
			}
		}
		if len(found) == maxFindings {
			break
		}
	}
	return found
}

// fieldOf names a variable, never its value. The values of the *_NAMES variables are
// names, so these get no key.
func fieldOf(d types.MatchData) string {
	name, key := d.Variable().Name(), d.Key()
	if key == "" || strings.HasSuffix(name, "_NAMES") {
		return name
	}
	return name + ":" + printable(key)
}

// printable makes a name that a client chose fit for logs: at most maxField bytes,
// letters, digits and a few marks, everything else as '?'.
func printable(key string) string {
	key = clip(key, maxField)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '…', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("._-$[]@/*:", r):
			return r
		}
		return '?'
	}, key)
}
