package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

// described gives a route in the words of TestLocateGivesEveryAddressItsMeaning.
func described(ex *access.Exchange) string {
	text := ex.Route.Class.String() + " " + ex.Route.Resource + " " + ex.Route.ID + " " + ex.Route.Action
	if ex.Mutating() {
		text += "!"
	}
	return text
}

func TestAnAddressThatABackendTakesForAListedOneHasItsRules(t *testing.T) {
	h := newHouse(t, func(cfg *Config, _ *Rooms) {
		cfg.Sites[0].Resources = append(cfg.Sites[0].Resources,
			ResourceConfig{Type: "invoice", Path: "/billing/{id}"},
			ResourceConfig{Type: "setting", Path: "/admin/**"},
			ResourceConfig{Type: "start", Form: &FormConfig{Path: "/shop/index.php", Action: "do", Actions: map[string][]string{"read": {"show"}}}})
	})
	for _, c := range []struct{ name, method, target, body, want string }{
		{"a slash at the end (Django, Express)", "GET", "/billing/1/", "", "app invoice 1 read"},
		{"another case (Express, ASP.NET)", "GET", "/BILLING/1", "", "app invoice 1 read"},
		{"another case of the collection", "POST", "/Billing", "a=1", "app invoice  create!"},
		{"a long s", "GET", "/%C5%BFhop/index.php?do=drop", "", "app start  unknown!"},
		{"a format (Rails, Spring)", "GET", "/billing.json", "", "app invoice  read"},
		{"a dot at the end (Windows)", "GET", "/billing./1", "", "app invoice 1 read"},
		{"a space at the end (Windows)", "GET", "/billing%20/1", "", "app invoice 1 read"},
		{"everything below, in another case", "GET", "/Admin/users", "", "app setting  read"},
		{"a path behind the script (PHP)", "GET", "/deals/card.php/x?action=confirm_delete", "", "app deal  delete!"},
		{"a slash behind the script", "GET", "/deals/card.php/?action=confirm_delete", "", "app deal  delete!"},
		{"a stream of the script (NTFS)", "GET", "/deals/card.php::$DATA?action=confirm_delete", "", "app deal  delete!"},
		{"another case of the script", "GET", "/Deals/CARD.PHP?action=confirm_delete", "", "app deal  delete!"},
		{"the script that a folder stands for", "GET", "/shop/?do=drop", "", "app start  unknown!"},
		{"the folder without its slash", "GET", "/shop?do=drop", "", "app start  unknown!"},
		{"the framework's own script", "GET", "/index.php/billing/1", "", "app invoice 1 read"},
		{"the framework's own script, in another case", "GET", "/Index.PHP/Billing/1/", "", "app invoice 1 read"},
		{"a search by POST that just resembles the search", "POST", "/api/search.delete", "q=1", "app search  read!"},
		{"a search by GET that resembles it", "GET", "/api/Search", "", "app search  read"},
		{"JSON-RPC without its slash", "POST", "/acme", `{}`, "app model  unknown!"},
		{"JSON-RPC by PUT", "PUT", "/acme/", `{}`, "app model  unknown!"},
		{"JSON-RPC by GET with a body", "GET", "/acme/", `{}`, "app model  unknown!"},
		{"JSON-RPC by GET with a query", "GET", "/acme/?Method=model.drop", "", "app model  unknown!"},
		{"the client's page at the address of JSON-RPC", "GET", "/acme/", "", "app other  read"},
		{"something longer", "GET", "/billings/1", "", "app other  read"},
		{"something below an item", "GET", "/billing/1/lines", "", "app other  read"},
	} {
		ex, err := located(h, request(c.method, c.target, c.body))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := described(ex); got != c.want {
			t.Errorf("%s: %s %s: %q, want %q", c.name, c.method, c.target, got, c.want)
		}
	}
}

func TestReadsInABodyDoNotCountAtAnAddressThatJustResembles(t *testing.T) {
	h := newHouse(t, nil)
	ex, err := located(h, request("POST", "/deals/card.xyz", "action=view"))
	if err != nil {
		t.Fatal(err)
	}
	form := ex.Route.Operation.Form
	if form.Actions["view"] != "" || form.Actions["confirm_delete"] != access.ActionDelete {
		t.Errorf("actions %v", form.Actions)
	}
	ex, err = located(h, request("POST", "/Acme", `{}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, action := range ex.Route.Operation.JSONRPC.Methods {
		if access.Reads(action) {
			t.Errorf("method %s reads", name)
		}
	}
}

func TestAGuardedPlaceholderHoldsForEveryAddressBelowIt(t *testing.T) {
	for target, status := range map[string]int{
		"/t/acme/reports/1": 200, "/t/globex/reports/1": 403, "/t/globex/reports/1/": 403, "/T/globex/reports/1": 403,
		"/t/globex/Reports/1": 403, "/t/globex/reports/1/lines": 403, "/t/globex/other": 403, "/t/globex": 403,
		"/index.php/t/globex/other": 403, "/t/acme/other": 200, "/t/acme": 200, "/t": 200, "/tea/globex": 200,
	} {
		h := newHouse(t, nil)
		if w := h.do(request("GET", target, "")); w.Code != status || (status == 200) != (h.hits.Load() == 1) {
			t.Errorf("%s: %d, %d hits; want %d", target, w.Code, h.hits.Load(), status)
		}
	}
	// A placeholder that begins its pattern would claim every address; a listed neighbour is no tenant.
	for target, status := range map[string]int{"/globex/x": 403, "/api/things": 200, "/t/shared/1": 200, "/t/globex/1": 403} {
		h := newHouse(t, func(cfg *Config, _ *Rooms) {
			cfg.Sites[0].Resources = []ResourceConfig{{Type: "top", Path: "/{tenant}/x"}, {Type: "shared", Path: "/t/shared/{id}"}, {Type: "own", Path: "/t/{tenant}/{id}"}}
		})
		if w := h.do(request("GET", target, "")); w.Code != status {
			t.Errorf("%s: %d, want %d", target, w.Code, status)
		}
	}
}

func TestATenantInAQueryInEverySpelling(t *testing.T) {
	for query, status := range map[string]int{
		"tenant_id=acme": 200, "tenant_id[]=acme": 200, "filter[tenant_id]=acme": 200, "filter.tenant_id=acme": 200,
		"a[tenant_id]=acme&b[tenant_id]=acme": 200, "q=tenant_id": 200, "my_tenant_id=globex": 200,
		"filter[tenant_id]=globex": 403, "filter.tenant_id=globex": 403, "a[b][tenant_id]=globex": 403, "contact__tenant_id=globex": 403,
		"tenant_id[$ne]=acme": 403, "tenant_id[0]=acme": 403, "tenant.id[x]=globex": 403, "tenant.id[]=globex": 403,
		"tenant_id__in=acme,globex": 403, "tenant_id!=acme": 403, "tenant_id:ne=acme": 403, "tenant_id%3E=a": 403,
		"+tenant_id=globex": 403, "%20tenant_id=globex": 403, "tenant_id%20=globex": 403, "tenant_id+=globex": 403,
		"tenant%20id=globex": 403, "tenant%5Bid=globex": 403, "tenant%5bid%5D=globex": 403, "tenant%255Fid=globex": 403,
		"tenant_%C4%B1d=globex": 403, "TENANT_ID=globex": 403, "tenant_id=ACME": 403, "tenant_id=acme%20": 403, "tenant_id": 403,
		"tenant_id%00=globex": 400, "tenant_id=acme%00": 400, "tenant_id&tenant_id=acme": 400, "tenant_id=acme&tenant_id=acme": 400,
		"tenant_id=acme&+Tenant-Id[]=acme": 400, "f[tenant_id]=acme&F.Tenant_Id=acme": 400, "%u0074enant_id=globex": 400, "a;tenant_id=globex": 400,
	} {
		h := newHouse(t, nil)
		if w := h.do(request("GET", "/api/contacts?"+query, "")); w.Code != status || (status == 200) != (h.hits.Load() == 1) {
			t.Errorf("%s: %d, %d hits; want %d", query, w.Code, h.hits.Load(), status)
		}
	}
}

func TestAPublicAddressThatNamesATenantIsNotPublic(t *testing.T) {
	for target, want := range map[string]access.Class{"/static/a": access.Public, "/static/a?v=1": access.Public,
		"/static/a?tenant_id=globex": access.App, "/static/a?x[tenant.id]=globex": access.App} {
		ex, err := located(newHouse(t, nil), request("GET", target, ""))
		if err != nil || ex.Route.Class != want {
			t.Errorf("%s: %v, %v; want %v", target, ex.Route.Class, err, want)
		}
	}
}

func TestAHostIsANameAndAPort(t *testing.T) {
	for host, want := range map[string]string{
		"crm.test": "crm.test", "crm.test:443": "crm.test", "[::1]:1": "::1", "[0:0::1]": "::1",
		"crm.test:": "", "crm.test:x": "", "crm.test:@evil.test": "", "crm.test:1:2": "", "crm.test:99999": "", "crm.test:+1": "", "[crm.test]": "", "crm.test]": "crm.test]",
		"[::1]x": "", "[::1": "::1", "[127.0.0.1]": "", ":443": "", "": "", "crm.test.": "crm.test.", "a@crm.test": "a@crm.test",
	} {
		if got := hostName(host); got != want {
			t.Errorf("hostName(%q) = %q, want %q", host, got, want)
		}
	}
}

func TestMethodOverridesInAQueryAreRefusedInEverySpelling(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		for _, query := range []string{"_method=DELETE", "%5Fmethod=DELETE", "+_method=DELETE", ".method=DELETE", "_METHOD=DELETE", "_method[]=DELETE", "_method"} {
			h := newHouse(t, func(cfg *Config, _ *Rooms) { cfg.Sites[0].MethodOverride = allowed })
			if w := h.do(request("POST", "/api/contacts/7?"+query, "a=1")); w.Code != 400 || h.hits.Load() != 0 {
				t.Errorf("allowed %v, %s: %d", allowed, query, w.Code)
			}
		}
	}
}

func TestWhatTheFieldMethodMeans(t *testing.T) {
	for _, c := range []struct {
		name, method, target string
		allowed, body        bool
		want                 map[string]string // nil: no operation
	}{
		{"where the site has it", "POST", "/api/contacts/7", true, true, map[string]string{"": "update", "POST": "update", "put": "update", "PATCH": "update", "delete": "delete"}},
		{"on a collection", "POST", "/api/contacts", true, true, map[string]string{"": "create", "delete": "delete"}},
		{"on an address that is not listed", "POST", "/any/thing", true, true, map[string]string{"": "create", "PUT": "update", "delete": "delete"}},
		{"with actions of its own", "POST", "/api/search", true, true, map[string]string{"": "read", "delete": "delete", "put": "update"}},
		{"without a body", "POST", "/api/contacts/7", true, false, nil},
		{"of another verb", "PUT", "/api/contacts/7", true, true, nil},
		{"where the site does not", "POST", "/api/contacts/7", false, true, nil},
	} {
		h := newHouse(t, func(cfg *Config, _ *Rooms) { cfg.Sites[0].MethodOverride = c.allowed })
		body := ""
		if c.body {
			body = "a=1"
		}
		ex, err := located(h, request(c.method, c.target, body))
		if err != nil {
			t.Fatal(err)
		}
		if (ex.Route.Operation != nil) != (c.want != nil) {
			t.Errorf("%s: operation %v", c.name, ex.Route.Operation)
			continue
		}
		for value, action := range c.want {
			if f := ex.Route.Operation.Form; f.Parameter != "_method" || f.Actions[value] != action || f.Actions["TRACE"] != "" {
				t.Errorf("%s: %q is %q, want %q", c.name, value, f.Actions[value], action)
			}
		}
	}
}

func TestAnIDThatIsTooLongEqualsNoOther(t *testing.T) {
	short := strings.Repeat("a", 256)
	for id, same := range map[string]bool{short: true, short + "b": false, strings.Repeat("é", 200): false} {
		ex, err := located(newHouse(t, nil), request("GET", "/api/contacts/"+escape(id), ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := ex.Route.ID; len(got) > 256 || (got == id) != same || !same && !strings.HasSuffix(got, "…") {
			t.Errorf("an id of %d bytes became %q", len(id), got)
		}
	}
}

func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

func TestDotsBesideAnEncodedSlashDoNotClimb(t *testing.T) {
	for target, status := range map[string]int{"/files/a%2Fb": 200, "/files/a%2F%2Fb": 200, "/files/..%2Fbilling": 400, "/files/a%2f..": 400,
		"/files/a%2F%2e%2E%2Fb": 400, "/files/.%2Fb": 400, "/files/a%2f..;x": 400, "/files/..b%2Fc": 200} {
		h := newHouse(t, func(cfg *Config, _ *Rooms) {
			cfg.Sites[0].Exceptions = []PathException{{Path: "/files/**", Allow: []string{"encoded_slash", "semicolon"}}}
		})
		if w := h.do(request("GET", target, "")); w.Code != status {
			t.Errorf("%s: %d, want %d", target, w.Code, status)
		}
	}
}

func TestCheckRefusesWhatCouldBeReadTwoWays(t *testing.T) {
	base := SiteConfig{Name: "crm", Hosts: []string{"crm.test"}, Upstreams: []string{"https://127.0.0.1:1"}, Tenant: TenantConfig{Guard: []string{"query.tenant_id"}}}
	for _, c := range []struct {
		name   string
		change func(*SiteConfig)
		want   string
	}{
		{"a method listed under two actions", func(s *SiteConfig) {
			s.Resources = []ResourceConfig{{Type: "a", JSONRPC: &JSONRPCConfig{Path: "/", Methods: map[string][]string{"read": {"x"}, "update": {"x"}}}}}
		}, "resources[0].jsonrpc.methods.update[0]"},
		{"a form's value listed under two actions", func(s *SiteConfig) {
			s.Resources = []ResourceConfig{{Type: "a", Form: &FormConfig{Path: "/", Action: "do", Actions: map[string][]string{"delete": {"x"}, "read": {"y", "x"}}}}}
		}, "resources[0].form.actions.read[1]"},
		{"actions by method on a form", func(s *SiteConfig) {
			s.Resources = []ResourceConfig{{Type: "a", Actions: map[string]string{"GET": "update"}, Form: &FormConfig{Path: "/", Action: "do"}}}
		}, "resources[0].actions"},
		{"one path element for two tenants", func(s *SiteConfig) { s.Tenant.PathNames = map[string]string{"acme": "db", "globex": "db"} }, "tenant.path_names.globex"},
		{"a path element of two", func(s *SiteConfig) { s.Tenant.PathNames = map[string]string{"acme": "a/b"} }, "tenant.path_names.acme"},
		{"a guard of a placeholder that is nowhere", func(s *SiteConfig) { s.Tenant.Guard = []string{"path.org"} }, "warning tenant.guard"},
		{"one header for tenant and user", func(s *SiteConfig) { s.Tenant.Header = "x_user.id" }, "headers.user_id"},
		{"the host as the tenant's header", func(s *SiteConfig) { s.Tenant.Header = "Host" }, "tenant.header"},
		{"the body's length as the roles' header", func(s *SiteConfig) { s.Headers.Roles = "Content_Length" }, "headers.roles"},
		{"a header of two lines", func(s *SiteConfig) { s.Headers.Email = "X-A\r\nX-B" }, "headers.email"},
		{"a protected name that is none", func(s *SiteConfig) { s.Headers.Protect = []string{"X-A", "a b"} }, "headers.protect[1]"},
		{"nothing wrong", func(s *SiteConfig) {
			s.Tenant.Guard = []string{"path.org"}
			s.Resources = []ResourceConfig{{Type: "a", Path: "/o/{Org}/{id}"}}
		}, ""},
	} {
		s := base
		c.change(&s)
		var got []string
		s.check(func(path, _, _ string) { got = append(got, path) }, func(path, _, _ string) { got = append(got, "warning "+path) })
		if c.want == "" && len(got) != 0 || c.want != "" && !slices.Contains(got, c.want) {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

// FuzzResembles: however somebody spells an address in ways that a lenient backend ignores, it keeps its rules.
func FuzzResembles(f *testing.F) {
	for _, seed := range []string{"", "/", ".json", ".", "::$DATA", "/x", "%20"} {
		f.Add(seed, uint64(0))
		f.Add(seed, ^uint64(0))
	}
	h := newHouse(f, func(cfg *Config, _ *Rooms) {
		cfg.Sites[0].Resources = []ResourceConfig{{Type: "invoice", Path: "/billing/**"}, {Type: "deal", Form: &FormConfig{Path: "/deals/card.php", Action: "action"}}}
	})
	f.Fuzz(func(t *testing.T, tail string, upper uint64) {
		for path, kind := range map[string]string{"/billing": "invoice", "/index.php/billing": "invoice", "/deals/card.php": "deal"} {
			spelled := []byte(path)
			for i, c := range spelled {
				if upper>>(i%64)&1 == 1 && 'a' <= c && c <= 'z' {
					spelled[i] = c - 'a' + 'A'
				}
			}
			separated := tail == "" || strings.ContainsAny(tail[:1], "/.:?")
			ex, err := located(h, request("GET", "/", "")) // a sound request, whose target is changed
			if err != nil {
				t.Fatal(err)
			}
			r := ex.Request
			r.RequestURI = string(spelled) + tail
			if ex, err = located(h, r); err == nil && separated && ex.Route.Resource != kind && ex.Route.Class == access.App {
				t.Fatalf("%q is %s, want %s", r.RequestURI, ex.Route.Resource, kind)
			}
		}
	})
}
