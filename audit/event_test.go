package audit

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport/sallyport/access"
)

func TestLabelsAreBoundedAndSafeToPrint(t *testing.T) {
	for _, s := range []string{
		"", "plain", "line\r\nfeed", "\x1b[2Jansi", "right\u202eto left", "sep\u2028arator", "\x00nul", "\xff\xfe", "c1 \u0085",
		strings.Repeat("a", 1<<20), strings.Repeat("é", 300), strings.Repeat("\xff", 300), strings.Repeat("\n", 300),
		strings.Repeat("a", 255) + "é", strings.Repeat("a", 254) + "\U0001F600", strings.Repeat("\U000F0000", 80),
	} {
		got := label(s, maxName)
		if len(got) > maxName || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsGraphic(r) }) {
			t.Errorf("label(%.20q…) = %d bytes, %.40q…", s, len(got), got)
		}
		if len(s) > maxName && !strings.HasSuffix(got, "…") {
			t.Errorf("label(%.20q…) does not show that it was cut", s)
		}
		if v := cut(s, maxValue); len(v) > maxValue || !utf8.ValidString(v) {
			t.Errorf("cut(%.20q…) = %d bytes", s, len(v))
		}
	}
	for _, s := range []string{"Zoë Müller", "内容", "a b"} {
		if got := label(s, maxName); got != s {
			t.Errorf("label(%q) = %q", s, got)
		}
	}
	if got := cut("two\nlines", maxValue); got != "two\nlines" {
		t.Errorf("a value was changed: %q", got)
	}
}

func TestTheWorstEventFitsARecord(t *testing.T) {
	long := strings.Repeat("\x01<", 1000)
	ex := exchange()
	ex.ID, ex.Target.Path, ex.Site.Name = long, long, long
	ex.Request.Header.Set("User-Agent", long)
	ex.Request.Method = long
	ex.Route = access.Route{Class: access.App, Pattern: long, Resource: long, ID: long, Action: long}
	ex.Identity.Subject, ex.Identity.Email, ex.Identity.Provider, ex.Identity.SessionID = long, long, long, long
	ex.Decision = access.Decision{Rule: long, Revision: long}
	for range 100 {
		ex.Identity.AMR = append(ex.Identity.AMR, long)
		ex.Decision.Reasons = append(ex.Decision.Reasons, access.Reason{ID: long})
		ex.Body.Values = append(ex.Body.Values, access.Value{Path: strings.Repeat("<", 200), Text: long})
	}
	r := open(t, folder(t), unsynced(), Config{})
	if err := r.Intend(t.Context(), ex); err != nil {
		t.Fatal(err)
	}
	refusal := access.Refuse(403, long, "", "")
	refusal.Gate = long
	r.Refused(t.Context(), ex, refusal)
	_ = r.stop()
	if got := events(t, r.dir); len(got) != 2 || len(got[0].Changes) != maxChanges+1 || got[0].Changes[maxChanges].New != "36 fields are not recorded" ||
		len(got[1].Decision.Reasons) != maxReasons {
		t.Errorf("%d events", len(got))
	}
}

func TestAnExchangeThatNoGateHasFilledIsRecorded(t *testing.T) {
	r := open(t, folder(t), unsynced(), Config{})
	req := must(http.NewRequest("PUT", "/x?token=s3cret", nil))
	r.Refused(t.Context(), &access.Exchange{Request: req}, access.Refuse(400, "bad_target", "", ""))
	r.Refused(t.Context(), &access.Exchange{}, access.Refuse(400, "bad_target", "", ""))
	_ = r.stop()
	got := events(t, r.dir)
	if len(got) != 2 || got[0].Request.Path != "/x" || got[0].Action != access.ActionUnknown || got[0].Resource.Type != access.OtherResource || got[0].Time.IsZero() {
		t.Fatalf("events = %+v", got)
	}
	if strings.Contains(got[0].raw, "s3cret") {
		t.Errorf("the query is in the journal: %s", got[0].raw)
	}
}

func TestSecretNames(t *testing.T) {
	for _, name := range []string{
		"password", "Password", "user[password]", "old_password", "params.1.password", "newPasswd", "pwd", "client_secret", "access_token",
		"csrf-token", "api_key", "apiKey", "API-KEY", "x.key", "otp", "totpCode", "card", "card_number", "cardNumber", "creditCardNo", "pin",
		"user.pin.0", "cvv2", "SAMLResponse", "authorization", "JSESSIONID", "PHPSESSIONID", "private key", "p.a.s.s.w.o.r.d", "iban", "ssn",
		"recovery-code", strings.Repeat("a", maxName+1),
	} {
		if !secretName(name) {
			t.Errorf("%q is not taken for a secret", name)
		}
	}
	for _, name := range []string{
		"", "name", "keyword", "monkey", "discard", "wildcards", "business.cardinality", "phone", "note", "items.0.title", "compass", "author",
		"pinned", "spin", "company", "span", "email", "postal_code", "status",
	} {
		if secretName(name) {
			t.Errorf("%q is taken for a secret", name)
		}
	}
}

func TestChangesNameNoSecret(t *testing.T) {
	many := []access.Value{{Path: "params.0", Text: "s3cret"}}
	for i := range 70 {
		many = append(many, access.Value{Path: fmt.Sprintf("f%d", i), Text: "plain"})
	}
	for _, c := range []struct {
		name   string
		class  access.Class
		action string
		values []access.Value
		want   string
	}{
		{"no body", access.App, "update", nil, "[] none"},
		{"new values", access.App, "update", []access.Value{{Path: "name", Text: "Ann"}}, "[{name  Ann}] request_only"},
		{"a portal's body tells nothing", access.Portal, "login", []access.Value{{Path: "user", Text: "ann"}}, "[] none"},
		{"a secret by its name", access.App, "update", []access.Value{{Path: "a.token", Text: "s3cret"}}, "[{a.token  [redacted]}] request_only"},
		{"values without a name beside a secret", access.App, "update",
			[]access.Value{{Path: "params.1", Text: "s3cret"}, {Path: "params.0.password", Text: "s3cret"}, {Path: "name", Text: "Ann"}},
			"[{params.1  [redacted]} {params.0.password  [redacted]} {name  Ann}] request_only"},
		{"values without a name in a call about a secret", access.App, "update",
			[]access.Value{{Path: "params.0", Text: "s3cret"}, {Path: "method", Text: "model.res.user.set_password"}},
			"[{params.0  [redacted]} {method  model.res.user.set_password}] request_only"},
		{"values without a name where the action is about a secret", access.App, "password_change",
			[]access.Value{{Path: "0", Text: "s3cret"}}, "[{0  [redacted]}] request_only"},
		{"values without a name elsewhere", access.App, "update", []access.Value{{Path: "tags.0", Text: "new"}}, "[{tags.0  new}] request_only"},
	} {
		ex := &access.Exchange{Route: access.Route{Class: c.class, Action: c.action}, Body: access.Body{Values: c.values}}
		if got := fmt.Sprint(changes(ex), " ", source(ex)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	ex := &access.Exchange{Route: access.Route{Class: access.App}, Body: access.Body{Values: many}}
	if got := changes(ex); got[0].New != redacted {
		t.Errorf("where not all fields were looked at, an unnamed value is written down: %v", got[0])
	}
}

func BenchmarkChanges(b *testing.B) {
	ex := exchange()
	for i := range 24 {
		ex.Body.Values = append(ex.Body.Values, access.Value{Path: fmt.Sprintf("customer.address.line%d", i), Text: "some street 17"})
	}
	for b.Loop() {
		changes(ex)
	}
}

func refusalOf(code string, counted bool) *access.Refusal {
	r := access.Refuse(403, code, "public", "")
	r.Gate, r.Counted, r.Err = "tenant", counted, fmt.Errorf("private half with s3cret")
	return r
}

func from(addr string, known bool, method string) *access.Exchange {
	ex := exchange()
	ex.Client.Addr = netip.MustParseAddr(addr)
	ex.Request.Method = method
	ex.Route.ReadOnly = method == "GET"
	if !known {
		ex.Identity = nil
	}
	return ex
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name    string
		n       int
		make    func(i int) *access.Exchange
		counted bool
		singles int
		counts  []int64
	}{
		{"a refused write is one event", 1, func(int) *access.Exchange { return from("192.0.2.1", true, "PUT") }, false, 1, nil},
		{"another tenant's data, read by somebody known", 1, func(int) *access.Exchange { return from("192.0.2.1", true, "GET") }, false, 1, nil},
		{"a stranger's write", 1, func(int) *access.Exchange { return from("192.0.2.1", false, "PUT") }, false, 1, nil},
		{"what strangers only want to read is counted", 30, func(int) *access.Exchange { return from("192.0.2.1", false, "GET") }, false, 0, []int64{30}},
		{"floods are counted", 500, func(int) *access.Exchange { return from("192.0.2.1", false, "PUT") }, true, 0, []int64{500}},
		{"quotas are counted for the user", 500, func(int) *access.Exchange { return from("192.0.2.1", true, "PUT") }, true, 0, []int64{500}},
		{"a stranger's writes are counted beyond ten", 500, func(int) *access.Exchange { return from("192.0.2.1", false, "PUT") }, false, singlesStranger, []int64{490}},
		{"somebody known is counted beyond sixty", 100, func(int) *access.Exchange { return from("192.0.2.1", true, "PUT") }, false, singlesKnown, []int64{40}},
		{"an IPv6 /64 is one caller", 40, func(i int) *access.Exchange { return from(fmt.Sprintf("2001:db8::%x", i+1), false, "GET") }, false, 0, []int64{40}},
		{"addresses are counted apart", 40, func(i int) *access.Exchange { return from(fmt.Sprintf("192.0.2.%d", i%2), false, "GET") }, false, 0, []int64{20, 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := open(t, folder(t), unsynced(), Config{})
			for i := range c.n {
				r.Refused(t.Context(), c.make(i), refusalOf("tenant_mismatch", c.counted))
			}
			_ = r.stop()
			singles, counts := 0, []int64(nil)
			for _, ev := range events(t, r.dir) {
				if ev.Outcome != access.Refused || ev.Status != 403 || ev.Decision.Gate != "tenant" || ev.Decision.Reasons[0] != "tenant_mismatch" || ev.Old != "none" {
					t.Errorf("event = %+v", ev.Event)
				}
				if strings.Contains(ev.raw, "s3cret") {
					t.Errorf("the private half is in the journal: %s", ev.raw)
				}
				if ev.count == 0 {
					singles++
				} else if counts = append(counts, ev.count); ev.Action != ActionCounted {
					t.Errorf("a counted event's action is %q", ev.Action)
				}
			}
			if singles != c.singles || fmt.Sprint(counts) != fmt.Sprint(c.counts) {
				t.Errorf("%d events and counts of %v, want %d and %v", singles, counts, c.singles, c.counts)
			}
		})
	}
}

func TestARefusalAfterTheIntentIsItsOutcome(t *testing.T) {
	r := open(t, folder(t), unsynced(), Config{})
	ex := exchange()
	ex.Findings = []access.Finding{{Rule: 942100, Blocked: true}, {Rule: 920350}}
	if err := r.Intend(t.Context(), ex); err != nil {
		t.Fatal(err)
	}
	r.Refused(t.Context(), ex, refusalOf("waf_blocked", true))
	_ = r.stop()
	got := events(t, r.dir)
	if len(got) != 2 || got[1].ID != ex.EventID || got[1].Outcome != access.Refused || fmt.Sprint(got[1].Decision.Reasons) != "[waf_blocked waf:942100]" {
		t.Errorf("events = %+v", got)
	}
}

func TestAMillionAddressesDoNotOwnTheDisk(t *testing.T) {
	var all tallies
	written := 0
	const callers = 1_000_000
	for i := range callers {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if all.admit(tallyKey{from: network(addr), code: "unauthenticated"}, 401, true, time.Now()) {
			written++
		}
	}
	if n := len(all.by) + len(all.others); n > maxTallies+maxOthers {
		t.Errorf("the table holds %d entries", n)
	}
	counted := int64(written)
	for _, one := range all.drain() {
		counted += one.count
	}
	if written > singlesAll || counted != callers {
		t.Errorf("%d written one by one, %d of %d accounted for", written, counted, callers)
	}
	if !all.admit(tallyKey{code: "x"}, 401, true, time.Now()) {
		t.Error("after a drain the next minute does not begin")
	}
}

func TestRefusalsForWantOfAJournalAreCounted(t *testing.T) {
	var d faultyDisk
	r := open(t, folder(t), d.disk(), Config{})
	d.now.Store(&faults{write: func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }})
	for range 5 {
		ex := exchange()
		var refusal *access.Refusal
		if err := r.Intend(t.Context(), ex); !errors.As(err, &refusal) {
			t.Fatalf("Intend = %v", err)
		}
		r.Refused(t.Context(), ex, refusal)
	}
	d.now.Store(&faults{})
	eventually(t, "it is back", func() bool { return r.health.last() == nil })
	_ = r.stop()
	if got := events(t, r.dir); len(got) != 1 || got[0].count != 5 || got[0].Decision.Reasons[0] != "audit_unavailable" || got[0].Actor.ID != "u1" {
		t.Errorf("events = %+v, want one that stands for five", got)
	}
}
