package demo

import (
	"embed"
	"html/template"
	"net/http"
	"sync"
	"time"
)

//go:embed pages static
var assets embed.FS

// maxCRMBody is the largest body that the CRM reads, in bytes.
const maxCRMBody = 2 << 20

// CRM is a small application for several tenants, in memory. It has no security of its
// own: see the package's comment. It is safe for concurrent use.
type CRM struct {
	now   func() time.Time
	kinds []kind
	mux   *http.ServeMux
	pages *template.Template
	feed  *feed

	mu    sync.Mutex
	books map[string]*books // by tenant
}

// NewCRM makes a CRM full of data. now dates the changes.
func NewCRM(now func() time.Time) (*CRM, error) {
	pages, err := parsePages("crm_*.html")
	if err != nil {
		return nil, err
	}
	c := &CRM{now: now, kinds: kinds(), mux: http.NewServeMux(), pages: pages, feed: newFeed(), books: stock(now())}
	c.routes()
	return c, nil
}

// Reset brings back the first data, and ends every event stream.
func (c *CRM) Reset() {
	c.mu.Lock()
	c.books = stock(c.now())
	c.mu.Unlock()
	c.feed.end()
}

// ServeHTTP implements http.Handler.
func (c *CRM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Powered-By", "NaiveCRM/4.2") // as old applications do
	r.Body = http.MaxBytesReader(w, r.Body, maxCRMBody)
	c.mux.ServeHTTP(w, r)
}

func (c *CRM) routes() {
	m := c.mux
	m.HandleFunc("GET /{$}", c.home)
	m.HandleFunc("GET /search", c.search)
	m.HandleFunc("GET /static/{file}", c.static)
	m.HandleFunc("GET /events", c.events)
	m.HandleFunc("GET /debug/request", c.debugRequest)
	m.HandleFunc("GET /demo/attacks", c.attacks)
	for _, k := range c.kinds {
		p := "/" + k.Path
		m.HandleFunc("GET "+p, func(w http.ResponseWriter, r *http.Request) { c.list(w, r, k) })
		m.HandleFunc("GET "+p+"/export.csv", func(w http.ResponseWriter, r *http.Request) { c.export(w, r, k) })
		api := "/api" + p
		m.HandleFunc("GET "+api, func(w http.ResponseWriter, r *http.Request) { c.apiList(w, r, k) })
		m.HandleFunc("POST "+api, func(w http.ResponseWriter, r *http.Request) { c.apiCreate(w, r, k) })
		m.HandleFunc("GET "+api+"/{id}", func(w http.ResponseWriter, r *http.Request) { c.apiRead(w, r, k) })
		m.HandleFunc("PATCH "+api+"/{id}", func(w http.ResponseWriter, r *http.Request) { c.apiUpdate(w, r, k) })
		m.HandleFunc("DELETE "+api+"/{id}", func(w http.ResponseWriter, r *http.Request) { c.apiDelete(w, r, k) })
		if k.Legacy {
			m.HandleFunc("GET "+p+"/card", func(w http.ResponseWriter, r *http.Request) { c.legacyCard(w, r, k) })
			m.HandleFunc("POST "+p+"/card", func(w http.ResponseWriter, r *http.Request) { c.legacyCard(w, r, k) })
			continue
		}
		m.HandleFunc("GET "+p+"/new", func(w http.ResponseWriter, r *http.Request) { c.edit(w, r, k, "") })
		m.HandleFunc("POST "+p, func(w http.ResponseWriter, r *http.Request) { c.create(w, r, k) })
		m.HandleFunc("GET "+p+"/{id}", func(w http.ResponseWriter, r *http.Request) { c.card(w, r, k, r.PathValue("id")) })
		m.HandleFunc("GET "+p+"/{id}/edit", func(w http.ResponseWriter, r *http.Request) { c.edit(w, r, k, r.PathValue("id")) })
		m.HandleFunc("POST "+p+"/{id}", func(w http.ResponseWriter, r *http.Request) { c.update(w, r, k, r.PathValue("id")) })
		m.HandleFunc("POST "+p+"/{id}/delete", func(w http.ResponseWriter, r *http.Request) { c.remove(w, r, k, r.PathValue("id")) })
	}
	for _, s := range []single{
		{"settings", "Settings", settingFields(), func(b *books) *record { return b.settings }},
		{"billing", "Billing", billingFields(), func(b *books) *record { return b.billing }},
	} {
		m.HandleFunc("GET /"+s.path, func(w http.ResponseWriter, r *http.Request) { c.single(w, r, s, http.StatusOK, "") })
		m.HandleFunc("POST /"+s.path, func(w http.ResponseWriter, r *http.Request) { c.saveSingle(w, r, s) })
		m.HandleFunc("GET /api/"+s.path, func(w http.ResponseWriter, r *http.Request) { c.apiSingle(w, r, s) })
		m.HandleFunc("PATCH /api/"+s.path, func(w http.ResponseWriter, r *http.Request) { c.apiSaveSingle(w, r, s) })
	}
	m.HandleFunc("GET /api/search", c.apiSearch)
	m.HandleFunc("GET /files", c.files)
	m.HandleFunc("POST /files", c.addFile)
	m.HandleFunc("GET /files/{id}", c.file)
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c.sorry(w, r, http.StatusNotFound, "There is no such page.")
	})
}

// single is a page of which each tenant has one.
type single struct {
	path, title string
	fields      []field
	of          func(*books) *record
}

// caller is who the CRM takes somebody for. It asks for no proof of anything.
type caller struct {
	tenant string
	email  string
	roles  string
}

// callerOf believes a tenant_id in the request before the header: old links and imports
// have one.
func callerOf(r *http.Request, named string) caller {
	c := caller{tenant: r.Header.Get("X-Tenant-ID"), email: r.Header.Get("X-User-Email"), roles: r.Header.Get("X-User-Roles")}
	if q := r.URL.Query().Get("tenant_id"); q != "" {
		c.tenant = q
	}
	if named != "" {
		c.tenant = named
	}
	return c
}

// with calls f with the tenant's books, which it must not keep. False: there is no such
// tenant.
func (c *CRM) with(who caller, f func(*books)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.books[who.tenant]
	if b == nil {
		return false
	}
	f(b)
	return true
}

// changed tells the tenant's listeners.
func (c *CRM) changed(who caller, action, kind, id, name string) {
	c.feed.publish(who.tenant, notice{Action: action, Type: kind, ID: id, Name: name, By: who.email, At: c.now().UTC()})
}
