package job

import (
	"bytes"
	"encoding/json"
	"net/url"
	"testing"
)

func leaves(v any) int {
	count := 0
	switch v := v.(type) {
	case map[string]any:
		for _, item := range v {
			count += leaves(item)
		}
	case []any:
		for _, item := range v {
			count += leaves(item)
		}
	default:
		return 1
	}
	return count
}

func TestARecordHasTheSizeThatTheTableNames(t *testing.T) {
	for n := range uint64(1000) {
		body := PostNew.Body(n%7, n)
		var doc any
		if err := json.Unmarshal(body, &doc); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if got := leaves(doc); got != Leaves {
			t.Fatalf("%d values, want %d: %s", got, Leaves, body)
		}
		if len(body) < 950 || len(body) > 1100 {
			t.Fatalf("%d bytes: %s", len(body), body)
		}
	}
}

func TestNewRequestsAreNewAndFixedOnesAreNot(t *testing.T) {
	for _, kind := range []Kind{Get, GetQuery, Post, PostNew} {
		seen := map[string]bool{}
		for seed := range uint64(20) {
			for n := range uint64(500) {
				seen[kind.Target(seed, n)+string(kind.Body(seed, n))] = true
			}
		}
		want := 10_000
		if kind.Fixed() {
			want = 1
		}
		if len(seen) != want {
			t.Errorf("%s: %d different requests, want %d", kind, len(seen), want)
		}
	}
}

func TestANewGetHasFourParameters(t *testing.T) {
	u, err := url.Parse(GetQuery.Target(3, 4))
	if err != nil || len(u.Query()) != 4 {
		t.Errorf("%v: %v", u, err)
	}
}

func TestAPageIsTwoKilobytesOfJSONAndNamesTheTenant(t *testing.T) {
	page := Page(Tenant)
	if len(page) != 2048 || !json.Valid(page) || !bytes.Contains(page, []byte(`"tenant":"acme"`)) || bytes.Equal(page, Page(NoTenant)) {
		t.Errorf("%d bytes: %s", len(page), page)
	}
}

func TestAReceiptProvesTheBytes(t *testing.T) {
	if bytes.Equal(Receipt(Tenant, []byte("ab")), Receipt(Tenant, []byte("ba"))) || !json.Valid(Receipt(Tenant, nil)) {
		t.Error("two bodies have one receipt")
	}
}
