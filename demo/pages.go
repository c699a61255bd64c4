package demo

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parsePages reads the templates of one application: its own, and the style.
func parsePages(pattern string) (*template.Template, error) {
	return template.New("").Funcs(template.FuncMap{
		"style": func() (template.CSS, error) {
			b, err := assets.ReadFile("static/style.css")
			return template.CSS(b), err
		},
		"when":  func(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") },
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"lower": strings.ToLower,
		"money": money,
	}).ParseFS(assets, "pages/"+pattern)
}

// money writes a whole number with separators.
func money(text string) string {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1000 {
		return text
	}
	return money(strconv.Itoa(n/1000)) + fmt.Sprintf(",%03d", n%1000)
}

// writePage makes the whole page before its first byte is sent.
func writePage(w http.ResponseWriter, status int, pages *template.Template, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	w.Write(b.Bytes()) // a client that is gone needs no answer
}

// page is what every page of the CRM shows.
type page struct {
	Title   string
	Here    string // path of the menu's entry
	Menu    []entry
	Company string
	Tenant  string
	Email   string
	Roles   string
	Query   string
	Problem string
	Saved   bool

	Kind   kind
	Record *record
	Fields []filled
	Rows   []row
	Data   any
}

type entry struct{ Path, Label string }

// filled is a field with its value.
type filled struct {
	field
	Value string
}

// row is a line of a list.
type row struct {
	Link  string
	Cells []filled
}

func (k kind) link(id string) string {
	if k.Legacy {
		return "/" + k.Path + "/card?" + url.Values{"action": {"view"}, "id": {id}}.Encode()
	}
	return "/" + k.Path + "/" + id
}

// New, Edit, Save and Delete are where the pages of a kind lead. Old pages change things
// by GET.
func (k kind) New() string {
	if k.Legacy {
		return "/" + k.Path + "/card?action=new"
	}
	return "/" + k.Path + "/new"
}

func (k kind) Edit(id string) string {
	if k.Legacy {
		return "/" + k.Path + "/card?" + url.Values{"action": {"edit"}, "id": {id}}.Encode()
	}
	return "/" + k.Path + "/" + id + "/edit"
}

func (k kind) Save(id string) string {
	if k.Legacy {
		return "/" + k.Path + "/card"
	}
	if id == "" {
		return "/" + k.Path
	}
	return "/" + k.Path + "/" + id
}

func (k kind) Delete(id string) string {
	if k.Legacy {
		return "/" + k.Path + "/card?" + url.Values{"action": {"confirm_delete"}, "id": {id}}.Encode()
	}
	return "/" + k.Path + "/" + id + "/delete"
}

func (c *CRM) page(r *http.Request, who caller, title, here string) page {
	p := page{Title: title, Here: here, Tenant: who.tenant, Email: who.email, Roles: who.roles, Menu: []entry{{"/", "Home"}},
		Query: r.URL.Query().Get("q"), Saved: r.URL.Query().Has("saved")}
	for _, k := range c.kinds {
		p.Menu = append(p.Menu, entry{"/" + k.Path, k.Many})
	}
	p.Menu = append(p.Menu, entry{"/files", "Files"}, entry{"/billing", "Billing"}, entry{"/settings", "Settings"})
	c.with(who, func(b *books) { p.Company = b.Tenant.Name })
	return p
}

func (c *CRM) show(w http.ResponseWriter, status int, name string, p page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	writePage(w, status, c.pages, name, p)
}

func (c *CRM) sorry(w http.ResponseWriter, r *http.Request, status int, text string) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		apiError(w, status, text)
		return
	}
	p := c.page(r, callerOf(r, ""), http.StatusText(status), "")
	p.Problem = text
	c.show(w, status, "crm_sorry.html", p)
}

func (c *CRM) noTenant(w http.ResponseWriter, r *http.Request) {
	c.sorry(w, r, http.StatusBadRequest, "The request names no tenant that exists. This application believes the header X-Tenant-ID, and there was none that it knows.")
}

// stage is a column of the home page's pipeline.
type stage struct {
	Name  string
	Count int
	Sum   string
	Deals []row
}

func (c *CRM) home(w http.ResponseWriter, r *http.Request) {
	who := callerOf(r, "")
	p := c.page(r, who, "Home", "/")
	type figure struct {
		Label string
		Link  string
		Count int
	}
	var data struct {
		Figures []figure
		Stages  []stage
		Latest  []hit
	}
	deals := c.kinds[slices.IndexFunc(c.kinds, func(k kind) bool { return k.Type == "deal" })]
	if !c.with(who, func(b *books) {
		for _, k := range c.kinds[:4] {
			data.Figures = append(data.Figures, figure{k.Many, "/" + k.Path, len(b.records[k.Type])})
		}
		for _, name := range []string{"Discovery", "Proposal", "Negotiation", "Won"} {
			s, sum := stage{Name: name}, 0
			for _, rec := range b.records[deals.Type] {
				if rec.Values["stage"] != name {
					continue
				}
				n, _ := strconv.Atoi(rec.Values["amount"]) // no number counts as none
				s.Count, sum = s.Count+1, sum+n
				s.Deals = append(s.Deals, row{Link: deals.link(rec.ID), Cells: []filled{{Value: rec.Values["name"]}, {Value: rec.Values["amount"]}}})
			}
			s.Sum = strconv.Itoa(sum)
			data.Stages = append(data.Stages, s)
		}
	}) {
		c.noTenant(w, r)
		return
	}
	p.Data = data
	c.show(w, http.StatusOK, "crm_home.html", p)
}

func (c *CRM) list(w http.ResponseWriter, r *http.Request, k kind) {
	who := callerOf(r, "")
	p := c.page(r, who, k.Many, "/"+k.Path)
	p.Kind = k
	if !c.with(who, func(b *books) {
		for _, rec := range b.list(k.Type, p.Query) {
			p.Rows = append(p.Rows, row{Link: k.link(rec.ID), Cells: fill(k.Fields[:k.Columns], rec.Values)})
		}
	}) {
		c.noTenant(w, r)
		return
	}
	c.show(w, http.StatusOK, "crm_list.html", p)
}

func fill(fields []field, values map[string]string) []filled {
	var all []filled
	for _, f := range fields {
		all = append(all, filled{f, values[f.Name]})
	}
	return all
}

func (c *CRM) card(w http.ResponseWriter, r *http.Request, k kind, id string) {
	c.showRecord(w, r, k, id, "crm_card.html", "")
}

func (c *CRM) edit(w http.ResponseWriter, r *http.Request, k kind, id string) {
	c.showRecord(w, r, k, id, "crm_edit.html", "")
}

// showRecord shows a record, or an empty one when id is "".
func (c *CRM) showRecord(w http.ResponseWriter, r *http.Request, k kind, id, name, problem string) {
	who := callerOf(r, "")
	p := c.page(r, who, "New "+lowerFirst(k.One), "/"+k.Path)
	p.Kind, p.Problem = k, problem
	p.Record = &record{Values: map[string]string{}}
	found := id == ""
	if !c.with(who, func(b *books) {
		if rec := b.find(k.Type, id); rec != nil {
			p.Record, found = rec.clone(), true
			p.Title = rec.Values["name"]
		}
	}) {
		c.noTenant(w, r)
		return
	}
	if !found {
		c.sorry(w, r, http.StatusNotFound, "There is no such "+lowerFirst(k.One)+".")
		return
	}
	status := http.StatusOK
	if problem != "" {
		status = http.StatusUnprocessableEntity
		for _, f := range k.Fields {
			p.Record.Values[f.Name] = r.PostForm.Get(f.Name) // what was typed is not lost
		}
	}
	p.Fields = fill(k.Fields, p.Record.Values)
	c.show(w, status, name, p)
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// form reads the fields of a form. It takes a tenant_id for what it says.
func form(r *http.Request) (values map[string]string, who caller, err error) {
	if err := r.ParseForm(); err != nil {
		return nil, caller{}, err
	}
	values = map[string]string{}
	for name := range r.PostForm {
		values[name] = r.PostForm.Get(name)
	}
	return values, callerOf(r, values["tenant_id"]), nil
}

func (c *CRM) create(w http.ResponseWriter, r *http.Request, k kind) {
	values, who, err := form(r)
	if err != nil {
		c.sorry(w, r, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	var rec *record
	if !c.with(who, func(b *books) { rec, err = b.create(k, values, who.email, c.now()) }) {
		c.noTenant(w, r)
		return
	}
	if err != nil {
		c.showRecord(w, r, k, "", "crm_edit.html", err.Error()+".")
		return
	}
	c.changed(who, "create", k.Type, rec.ID, rec.Values["name"])
	c.saved(w, r, k.link(rec.ID))
}

func (c *CRM) update(w http.ResponseWriter, r *http.Request, k kind, id string) {
	values, who, err := form(r)
	if err != nil {
		c.sorry(w, r, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	if _, status, err := c.change(who, k, id, values); err != nil {
		if status == http.StatusUnprocessableEntity {
			c.showRecord(w, r, k, id, "crm_edit.html", err.Error()+".")
			return
		}
		c.sorry(w, r, status, "There is no such "+lowerFirst(k.One)+".")
		return
	}
	c.saved(w, r, k.link(id))
}

func (c *CRM) saved(w http.ResponseWriter, r *http.Request, link string) {
	sep := "?"
	if strings.Contains(link, "?") {
		sep = "&"
	}
	http.Redirect(w, r, link+sep+"saved=1", http.StatusSeeOther)
}

func (c *CRM) remove(w http.ResponseWriter, r *http.Request, k kind, id string) {
	if !c.delete(callerOf(r, ""), k, id) {
		c.sorry(w, r, http.StatusNotFound, "There is no such "+lowerFirst(k.One)+".")
		return
	}
	http.Redirect(w, r, "/"+k.Path, http.StatusSeeOther)
}

// legacyCard is a page as old applications have it: a parameter of the query or of the form
// tells what to do, and a GET may delete.
func (c *CRM) legacyCard(w http.ResponseWriter, r *http.Request, k kind) {
	if r.ParseForm() != nil {
		c.sorry(w, r, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	id := r.Form.Get("id")
	switch r.Form.Get("action") {
	case "", "view":
		c.card(w, r, k, id)
	case "new":
		c.edit(w, r, k, "")
	case "edit":
		c.edit(w, r, k, id)
	case "add":
		c.create(w, r, k)
	case "update":
		c.update(w, r, k, id)
	case "confirm_delete":
		c.remove(w, r, k, id)
	default:
		c.sorry(w, r, http.StatusBadRequest, "This page has no such action.")
	}
}

// export writes CSV. A text that a spreadsheet would take for a formula gets a quote
// before it.
func (c *CRM) export(w http.ResponseWriter, r *http.Request, k kind) {
	var b bytes.Buffer
	out := csv.NewWriter(&b)
	header := []string{"id"}
	for _, f := range k.Fields {
		header = append(header, f.Name)
	}
	out.Write(header) // into memory: it cannot fail
	if !c.with(callerOf(r, ""), func(bk *books) {
		for _, rec := range bk.records[k.Type] {
			line := []string{rec.ID}
			for _, f := range k.Fields {
				v := rec.Values[f.Name]
				if f.Input != "tel" && v != "" && strings.ContainsRune("=+-@\t\r", rune(v[0])) {
					v = "'" + v
				}
				line = append(line, v)
			}
			out.Write(line)
		}
	}) {
		c.noTenant(w, r)
		return
	}
	out.Flush()
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+k.Path+`.csv"`)
	w.Write(b.Bytes()) // a client that is gone needs no answer
}

func (c *CRM) search(w http.ResponseWriter, r *http.Request) {
	who := callerOf(r, "")
	p := c.page(r, who, "Search", "/search")
	hits, ok := c.find(who, p.Query)
	if !ok {
		c.noTenant(w, r)
		return
	}
	p.Data = hits
	c.show(w, http.StatusOK, "crm_search.html", p)
}
