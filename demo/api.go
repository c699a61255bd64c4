package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// object is a record as the API shows it.
func object(who caller, r *record) map[string]any {
	o := map[string]any{"id": r.ID, "tenant_id": who.tenant, "updated_at": r.Updated.UTC().Format(time.RFC3339), "updated_by": r.By}
	for k, v := range r.Values {
		o[k] = v
	}
	return o
}

func apiError(w http.ResponseWriter, status int, text string) {
	reply(w, status, map[string]string{"error": text})
}

func noTenant(w http.ResponseWriter) { apiError(w, http.StatusBadRequest, "no such tenant") }

// body reads a JSON object of texts. It takes a tenant_id for what it says.
func body(r *http.Request) (values map[string]string, tenant string, err error) {
	var any map[string]any
	if err := json.NewDecoder(r.Body).Decode(&any); err != nil {
		return nil, "", fmt.Errorf("the body is not a JSON object")
	}
	values = map[string]string{}
	for k, v := range any {
		if v != nil {
			values[k] = fmt.Sprint(v)
		}
	}
	return values, values["tenant_id"], nil
}

func (c *CRM) apiList(w http.ResponseWriter, r *http.Request, k kind) {
	who := callerOf(r, "")
	items := []map[string]any{}
	if !c.with(who, func(b *books) {
		for _, rec := range b.list(k.Type, r.URL.Query().Get("q")) {
			items = append(items, object(who, rec))
		}
	}) {
		noTenant(w)
		return
	}
	reply(w, http.StatusOK, map[string]any{"items": items, "total": len(items)})
}

func (c *CRM) apiRead(w http.ResponseWriter, r *http.Request, k kind) {
	who := callerOf(r, "")
	var rec *record
	if !c.with(who, func(b *books) {
		if found := b.find(k.Type, r.PathValue("id")); found != nil {
			rec = found.clone()
		}
	}) {
		noTenant(w)
		return
	}
	if rec == nil {
		apiError(w, http.StatusNotFound, "there is no such "+k.Type)
		return
	}
	reply(w, http.StatusOK, object(who, rec))
}

func (c *CRM) apiCreate(w http.ResponseWriter, r *http.Request, k kind) {
	values, tenant, err := body(r)
	if err != nil {
		apiError(w, http.StatusBadRequest, err.Error())
		return
	}
	who := callerOf(r, tenant)
	var rec *record
	if !c.with(who, func(b *books) { rec, err = b.create(k, values, who.email, c.now()) }) {
		noTenant(w)
		return
	}
	if err != nil {
		apiError(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	c.changed(who, "create", k.Type, rec.ID, rec.Values["name"])
	w.Header().Set("Location", "/api/"+k.Path+"/"+rec.ID)
	reply(w, http.StatusCreated, object(who, rec))
}

func (c *CRM) apiUpdate(w http.ResponseWriter, r *http.Request, k kind) {
	values, tenant, err := body(r)
	if err != nil {
		apiError(w, http.StatusBadRequest, err.Error())
		return
	}
	who := callerOf(r, tenant)
	rec, status, err := c.change(who, k, r.PathValue("id"), values)
	if err != nil {
		apiError(w, status, err.Error())
		return
	}
	reply(w, http.StatusOK, object(who, rec))
}

// change updates a record, for the API and for the pages.
func (c *CRM) change(who caller, k kind, id string, values map[string]string) (rec *record, status int, err error) {
	status, err = http.StatusNotFound, fmt.Errorf("there is no such %s", k.Type)
	if !c.with(who, func(b *books) {
		found := b.find(k.Type, id)
		if found == nil {
			return
		}
		if err = change(found, k.Fields, values, who.email, c.now()); err != nil {
			status = http.StatusUnprocessableEntity
			return
		}
		rec = found.clone()
	}) {
		return nil, http.StatusBadRequest, fmt.Errorf("no such tenant")
	}
	if err == nil {
		c.changed(who, "update", k.Type, rec.ID, rec.Values["name"])
	}
	return rec, status, err
}

func (c *CRM) apiDelete(w http.ResponseWriter, r *http.Request, k kind) {
	if !c.delete(callerOf(r, ""), k, r.PathValue("id")) {
		apiError(w, http.StatusNotFound, "there is no such "+k.Type)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (c *CRM) delete(who caller, k kind, id string) (gone bool) {
	name := ""
	c.with(who, func(b *books) {
		if r := b.find(k.Type, id); r != nil {
			name = r.Values["name"]
		}
		gone = b.remove(k.Type, id)
	})
	if gone {
		c.changed(who, "delete", k.Type, id, name)
	}
	return gone
}

func (c *CRM) apiSearch(w http.ResponseWriter, r *http.Request) {
	who := callerOf(r, "")
	hits, ok := c.find(who, r.URL.Query().Get("q"))
	if !ok {
		noTenant(w)
		return
	}
	reply(w, http.StatusOK, map[string]any{"items": hits, "total": len(hits)})
}

// hit is a record that a search found.
type hit struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name"`
	Link string `json:"link"`
}

func (c *CRM) find(who caller, query string) (hits []hit, ok bool) {
	hits = []hit{}
	ok = c.with(who, func(b *books) {
		if query == "" {
			return
		}
		for _, k := range c.kinds {
			if k.Type == "user" || k.Type == "integration" {
				continue
			}
			for _, rec := range b.list(k.Type, query) {
				hits = append(hits, hit{Type: k.Type, ID: rec.ID, Name: rec.Values["name"], Link: k.link(rec.ID)})
			}
		}
	})
	return hits, ok
}

func (c *CRM) apiSingle(w http.ResponseWriter, r *http.Request, s single) {
	who := callerOf(r, "")
	var rec *record
	if !c.with(who, func(b *books) { rec = s.of(b).clone() }) {
		noTenant(w)
		return
	}
	reply(w, http.StatusOK, object(who, rec))
}

func (c *CRM) apiSaveSingle(w http.ResponseWriter, r *http.Request, s single) {
	values, tenant, err := body(r)
	if err != nil {
		apiError(w, http.StatusBadRequest, err.Error())
		return
	}
	who := callerOf(r, tenant)
	if err := c.changeSingle(who, s, values); err != nil {
		apiError(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	c.apiSingle(w, r, s)
}

func (c *CRM) changeSingle(who caller, s single, values map[string]string) error {
	err := fmt.Errorf("no such tenant")
	c.with(who, func(b *books) { err = change(s.of(b), s.fields, values, who.email, c.now()) })
	if err == nil {
		c.changed(who, "update", s.path, s.path, s.title)
	}
	return err
}
