package waf

import "testing"

// TestOurOwnRandomTextIsNoAttack: the refresh token below holds ".cvs", which rule 930120
// takes for a system file.
func TestOurOwnRandomTextIsNoAttack(t *testing.T) {
	e := shared(t, Config{})
	const token = "acme.01a200c8.3.cvsZZZ.cvs"
	for name, cookie := range map[string]string{
		"a session cookie":           "__Host-sallyport-refresh=" + token,
		"among others":               "a=b; __Host-sallyport-refresh=" + token + "; c=d",
		"a sealed backend cookie":    "PHPSESSID=sp1." + token,
		"a bound cookie's companion": "sp-mac-csrf=" + token,
	} {
		q := request{header: map[string]string{"Cookie": cookie}}
		if err := e.InspectHead(q.exchange(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, cookie := range map[string]string{
		"a cookie of the application":    "other=x/.cvs/../etc/passwd",
		"a script in our cookie":         "__Host-sallyport-refresh=<script>alert(1)</script>",
		"a path in our cookie":           "__Host-sallyport-refresh=../../etc/passwd",
		"a script in a sealed cookie":    "PHPSESSID=sp1.<script>alert(1)</script>",
		"an attack beside our cookie":    "__Host-sallyport-refresh=" + token + "; a=<script>alert(1)</script>",
		"an attack in the cookie's name": "__Host-sallyport-<script>alert(1)</script>=x",
	} {
		q := request{header: map[string]string{"Cookie": cookie}}
		if err := e.InspectHead(q.exchange(t)); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// TestRandomTextOfOthersIsJudged shows that the case above is real: the same text elsewhere
// is taken for an attack.
func TestRandomTextOfOthersIsJudged(t *testing.T) {
	q := request{header: map[string]string{"Cookie": "other=acme.01a200c8.3.cvsZZZ.cvs"}}
	if err := shared(t, Config{}).InspectHead(q.exchange(t)); code(err) != "waf_blocked" {
		t.Errorf("got %v: rule 930120 has changed, and the exemption may go", err)
	}
}
