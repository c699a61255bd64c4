package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/sallyport/sallyport/access"
)

// maxReasons bounds what one decision may carry into the audit log.
const maxReasons = 64

// readDecision reads the one document that a policy answers with,
//
//	{"allow": boolean, "rule": text, "reasons": [{"id": text, "text": text}, …]}
//
// and nothing else. A member that this version does not know might be a condition that
// it would have to keep, so it is an error, as is a yes that comes with reasons
// against it.
func readDecision(results rego.ResultSet) (access.Decision, error) {
	var d access.Decision
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return d, fmt.Errorf("want one result, got %d", len(results))
	}
	document, ok := results[0].Expressions[0].Value.(map[string]any)
	if !ok {
		return d, fmt.Errorf("want an object, got %T", results[0].Expressions[0].Value)
	}
	allow, isBool := document["allow"].(bool)
	rule, isText := document["rule"].(string)
	reasons, isList := document["reasons"].([]any)
	if !isBool || !isText || !isList || len(document) != 3 {
		return d, errors.New("want exactly allow (boolean), rule (text) and reasons (list)")
	}
	if rule == "" {
		return d, errors.New("the rule that decided has no name")
	}
	if allow && len(reasons) > 0 {
		return d, fmt.Errorf("rule %q allows and gives %d reasons against it", rule, len(reasons))
	}
	if len(reasons) > maxReasons {
		return d, fmt.Errorf("%d reasons, want at most %d", len(reasons), maxReasons)
	}
	for _, r := range reasons {
		reason, _ := r.(map[string]any)
		id, _ := reason["id"].(string)
		text, _ := reason["text"].(string)
		if id == "" || text == "" || len(reason) != 2 {
			return d, errors.New("a reason wants exactly id and text, neither of them empty")
		}
		d.Reasons = append(d.Reasons, access.Reason{ID: id, Text: text})
	}
	slices.SortFunc(d.Reasons, func(a, b access.Reason) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Text, b.Text))
	})
	d.Allow, d.Rule = allow, rule
	return d, nil
}
