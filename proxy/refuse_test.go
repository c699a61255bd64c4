package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
)

func TestARefusalIsAPageForPeopleAndAProblemForPrograms(t *testing.T) {
	login := func(r *Rooms) {
		r.Authn = fakeAuthn(func(*access.Exchange) error {
			refusal := access.Refuse(401, "login_required", "You are not signed in.", "Sign in.")
			refusal.Login, refusal.RetryAfter = true, 1500*time.Millisecond
			return refusal
		})
	}
	for _, c := range []struct {
		name, method string
		header       http.Header
		status       int
		kind         string
	}{
		{"a navigation goes to the login", "GET", http.Header{"Sec-Fetch-Mode": {"navigate"}, "Accept": {"text/html"}}, 303, ""},
		{"an old browser's navigation too", "GET", http.Header{"Accept": {"text/html,*/*;q=0.8"}}, 303, ""},
		{"a form post gets a page", "POST", http.Header{"Sec-Fetch-Mode": {"navigate"}, "Accept": {"text/html"}}, 401, "text/html"},
		{"a fetch gets a problem", "GET", http.Header{"Sec-Fetch-Mode": {"cors"}, "Accept": {"text/html"}}, 401, "application/problem+json"},
		{"a program gets a problem", "GET", http.Header{"Accept": {"*/*"}}, 401, "application/problem+json"},
		{"a program without Accept too", "GET", http.Header{}, 401, "application/problem+json"},
		{"an image gets a problem", "GET", http.Header{"Accept": {"image/*"}}, 401, "application/problem+json"},
	} {
		h := newHouse(t, func(_ *Config, r *Rooms) { login(r) })
		r := request(c.method, "/api/contacts/7?x=1", "")
		r.Header = c.header
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		w := h.do(r)
		if w.Code != c.status || !strings.HasPrefix(w.Header().Get("Content-Type"), c.kind) {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Header().Get("Content-Type"))
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Request-Id") == "" || w.Header().Get("Retry-After") != "2" {
			t.Errorf("%s: headers %v", c.name, w.Header())
		}
		switch c.kind {
		case "":
			if got := w.Header().Get("Location"); got != "/.sallyport/login?return=%2Fapi%2Fcontacts%2F7%3Fx%3D1" {
				t.Errorf("%s: Location %q", c.name, got)
			}
		case "application/problem+json":
			var p map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p["code"] != "login_required" || p["status"] != 401.0 || p["request_id"] == "" || p["remedy"] != "Sign in." {
				t.Errorf("%s: %v %s", c.name, err, w.Body)
			}
			if w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s: 401 without WWW-Authenticate", c.name)
			}
		}
	}
}

func TestOnlyAdminsSeeReasons(t *testing.T) {
	for role, sees := range map[string]bool{"owner": true, "admin": true, "member": false, "viewer": false} {
		h := newHouse(t, func(_ *Config, r *Rooms) {
			authn := r.Authn
			r.Authn = fakeAuthn(func(ex *access.Exchange) error {
				err := authn.Authenticate(ex)
				ex.Identity.Roles = []string{role}
				return err
			})
			r.Policy = fakePolicy(func(context.Context, *access.Exchange) (access.Decision, error) {
				return access.Decision{Reasons: []access.Reason{{ID: "role_lacks_permission", Text: "why"}}}, nil
			})
		})
		w := h.do(request("GET", "/api/contacts/7", ""))
		if got := strings.Contains(w.Body.String(), "role_lacks_permission"); got != sees || w.Code != 403 {
			t.Errorf("%s: %d %s", role, w.Code, w.Body)
		}
	}
}

func TestAPanicBehindTheDoorIsARefusal(t *testing.T) {
	h := newHouse(t, func(_ *Config, r *Rooms) {
		r.Endpoints[0].Serve = func(http.ResponseWriter, *access.Exchange) error { panic("secret detail") }
	})
	w := h.do(request("GET", "/.sallyport/login", ""))
	if w.Code != 503 || strings.Contains(w.Body.String(), "secret detail") || !strings.Contains(h.log.String(), "secret detail") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestCookiesOfOursMakeEveryAnswerPrivate(t *testing.T) {
	h := newHouse(t, func(_ *Config, r *Rooms) {
		r.Authn = fakeAuthn(func(ex *access.Exchange) error {
			ex.SetCookies = append(ex.SetCookies, &http.Cookie{Name: "__Host-x", Value: "1", Path: "/", Secure: true})
			return access.Refuse(401, "login_required", "", "")
		})
	})
	w := h.do(request("GET", "/api/contacts/7", ""))
	if !strings.Contains(w.Header().Get("Set-Cookie"), "__Host-x=1") || w.Header().Get("Cache-Control") != "private, no-store" {
		t.Errorf("headers %v", w.Header())
	}
}

func TestOutcomes(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		want   access.Outcome
	}{"done": {200, access.Done}, "redirect": {302, access.Done}, "failed": {422, access.Failed}} {
		h := newHouse(t, func(_ *Config, r *Rooms) {
			r.Endpoints[3].Serve = func(w http.ResponseWriter, _ *access.Exchange) error { w.WriteHeader(c.status); return nil }
		})
		h.do(request("POST", "/.sallyport/console/settings", "a=1"))
		if len(h.audit.ended) != 1 || h.audit.ended[0] != c.want {
			t.Errorf("%s: %v", name, h.audit.ended)
		}
	}
}
