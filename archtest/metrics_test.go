package archtest

import (
	"go/ast"
	"os"
	"regexp"
	"strings"
	"testing"
)

// metrics finds the names of all metrics: the first text given to whatever makes one.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok {
				return true
			}
			if text, ok := textOf(lit); ok && metricName.MatchString(text) && !notMetrics[text] {
				found[text] = true
			}
			return true
		})
	}
	if len(found) < 20 {
		t.Fatalf("only %d metrics found: the test does not see them", len(found))
	}
	return found
}

var (
	metricName = regexp.MustCompile(`^sallyport_[a-z_]+$`)
	metricUse  = regexp.MustCompile(`\bsallyport_[a-z_]+`)
	// A variable inside the WAF's rules, which looks like a metric.
	notMetrics = map[string]bool{"sallyport_portal": true}
)

func TestMetricsAreDocumentedAndNoOthersAreUsed(t *testing.T) {
	found := metrics(t)
	for _, file := range []string{"../docs/reference/metrics.md", "../docs/how-to/metrics-and-alerts.md", "../deploy/prometheus/alerts.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, used := range metricUse.FindAllString(string(text), -1) {
			base := used
			for _, suffix := range []string{"_bucket", "_count", "_sum"} { // a histogram's parts
				base = strings.TrimSuffix(base, suffix)
			}
			if !found[used] && !found[base] {
				t.Errorf("%s names the metric %s, which does not exist", file, used)
			}
		}
		if strings.Contains(file, "reference/") {
			for name := range found {
				if !strings.Contains(string(text), "| `"+name+"` |") {
					t.Errorf("%s has no row for the metric %s", file, name)
				}
			}
		}
	}
}
