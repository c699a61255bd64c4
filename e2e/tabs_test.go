package e2e

import (
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/e2e/harness"
)

func TestLoginInTwoTabs(t *testing.T) {
	g, _ := startPHPSite(t)
	one := g.NewBrowser(t)
	two := one.NewTab(t)
	tabs := []*harness.Browser{one, two}
	for i, tab := range tabs {
		tab.Go(t, g.URL+"/?q="+[]string{"one", "two"}[i])
		tab.Fill(t, "#email", harness.Mia.Email())
	}
	for _, tab := range tabs {
		tab.Click(t, "main form button")
	}
	// The later tab is finished first; the other one's form is by then an old one.
	for _, i := range []int{1, 0} {
		tab := tabs[i]
		tab.Fill(t, "input[name=username]", harness.Mia.Name)
		tab.Fill(t, "input[name=password]", harness.Mia.Password())
		tab.Click(t, "#signin")
		harness.Eventually(t, "the provider leads back", func() bool { return strings.HasPrefix(tab.At(t), "https://") })
		at, err := url.Parse(tab.At(t))
		if err != nil {
			t.Fatal(err)
		}
		if user := tab.Text(t, "#user"); user != harness.Mia.Email() || at.Path != "/" || at.Query().Get("q") != []string{"one", "two"}[i] {
			t.Errorf("tab %d is at %s as %s", i+1, at, user)
		}
	}
	// Both tabs go on.
	for i, tab := range tabs {
		tab.Go(t, g.URL+"/")
		if user := tab.Text(t, "#user"); user != harness.Mia.Email() {
			t.Errorf("tab %d is %s", i+1, user)
		}
	}
}
