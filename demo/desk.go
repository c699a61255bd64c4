package demo

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
)

// single shows the settings or the billing page.
func (c *CRM) single(w http.ResponseWriter, r *http.Request, s single, status int, problem string) {
	who := callerOf(r, "")
	p := c.page(r, who, s.title, "/"+s.path)
	p.Problem = problem
	if !c.with(who, func(b *books) {
		p.Record = s.of(b).clone()
		if s.path == "billing" {
			p.Data = slices.Clone(b.invoices)
		}
	}) {
		c.noTenant(w, r)
		return
	}
	p.Fields = fill(s.fields, p.Record.Values)
	c.show(w, status, "crm_single.html", p)
}

func (c *CRM) saveSingle(w http.ResponseWriter, r *http.Request, s single) {
	values, who, err := form(r)
	if err != nil {
		c.sorry(w, r, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	if err := c.changeSingle(who, s, values); err != nil {
		c.single(w, r, s, http.StatusUnprocessableEntity, err.Error()+".")
		return
	}
	c.saved(w, r, "/"+s.path)
}

func (c *CRM) files(w http.ResponseWriter, r *http.Request) { c.showFiles(w, r, http.StatusOK, "") }

func (c *CRM) showFiles(w http.ResponseWriter, r *http.Request, status int, problem string) {
	who := callerOf(r, "")
	p := c.page(r, who, "Files", "/files")
	p.Problem = problem
	if !c.with(who, func(b *books) { p.Data = slices.Clone(b.files) }) {
		c.noTenant(w, r)
		return
	}
	c.show(w, status, "crm_files.html", p)
}

func (c *CRM) addFile(w http.ResponseWriter, r *http.Request) {
	file, header, err := r.FormFile("file")
	if err != nil {
		c.showFiles(w, r, http.StatusBadRequest, "Choose a file first.")
		return
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil || len(data) > maxFile {
		c.showFiles(w, r, http.StatusRequestEntityTooLarge, "The file is larger than 1 MiB.")
		return
	}
	who := callerOf(r, r.FormValue("tenant_id"))
	up := upload{Name: path.Base(strings.ReplaceAll(header.Filename, `\`, "/")), By: who.email, Data: data, At: c.now()}
	full := errors.New("")
	if !c.with(who, func(b *books) {
		if len(b.files) >= maxFiles {
			return
		}
		b.next++
		up.ID, full = fmt.Sprintf("f-%d", b.next), nil
		b.files = append(b.files, up)
	}) {
		c.noTenant(w, r)
		return
	}
	if full != nil {
		c.showFiles(w, r, http.StatusInsufficientStorage, "There is room for 20 files.")
		return
	}
	c.changed(who, "create", "document", up.ID, up.Name)
	http.Redirect(w, r, "/files?saved=1", http.StatusSeeOther)
}

func (c *CRM) file(w http.ResponseWriter, r *http.Request) {
	var found *upload
	c.with(callerOf(r, ""), func(b *books) {
		for i := range b.files {
			if b.files[i].ID == r.PathValue("id") {
				up := b.files[i]
				found = &up
			}
		}
	})
	if found == nil {
		c.sorry(w, r, http.StatusNotFound, "There is no such file.")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": found.Name}))
	w.Write(found.Data) // a client that is gone needs no answer
}

// static serves the stylesheet and the one script. They are public.
func (c *CRM) static(w http.ResponseWriter, r *http.Request) {
	types := map[string]string{"style.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8"}
	name := r.PathValue("file")
	b, err := assets.ReadFile("static/" + name)
	if types[name] == "" || err != nil {
		c.sorry(w, r, http.StatusNotFound, "There is no such file.")
		return
	}
	w.Header().Set("Content-Type", types[name])
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Write(b) // a client that is gone needs no answer
}

// header is a line of the page that shows a request.
type header struct {
	Name  string
	Value string
	Ours  bool // that the application acts on
}

// debugRequest shows what arrived, as many frameworks do when somebody forgets to switch
// it off.
func (c *CRM) debugRequest(w http.ResponseWriter, r *http.Request) {
	var all []header
	for name, values := range r.Header {
		for _, v := range values {
			all = append(all, header{name, v, name == "X-Tenant-Id" || strings.HasPrefix(name, "X-User-")})
		}
	}
	slices.SortFunc(all, func(a, b header) int {
		if a.Ours != b.Ours {
			return map[bool]int{true: -1, false: 1}[a.Ours]
		}
		return strings.Compare(a.Name, b.Name)
	})
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		reply(w, http.StatusOK, map[string]any{"method": r.Method, "target": r.RequestURI, "host": r.Host, "headers": r.Header})
		return
	}
	p := c.page(r, callerOf(r, ""), "What the application sees", "")
	p.Data = map[string]any{"Line": r.Method + " " + r.RequestURI + " " + r.Proto, "Host": r.Host, "Headers": all}
	c.show(w, http.StatusOK, "crm_debug.html", p)
}

// attacks is a page of the demo itself, with attacks to try from the browser.
func (c *CRM) attacks(w http.ResponseWriter, r *http.Request) {
	who := callerOf(r, "")
	p := c.page(r, who, "Attacks to try", "")
	var data struct {
		Other   Tenant
		Contact string
		Deal    string
	}
	for _, t := range Tenants() {
		if t.ID != who.tenant {
			data.Other = t
			break
		}
	}
	if !c.with(who, func(b *books) {
		if all := b.records["contact"]; len(all) > 0 {
			data.Contact = all[len(all)-1].ID
		}
		if all := b.records["deal"]; len(all) > 0 {
			data.Deal = all[len(all)-1].ID
		}
	}) {
		c.noTenant(w, r)
		return
	}
	p.Data = data
	c.show(w, http.StatusOK, "crm_attacks.html", p)
}
