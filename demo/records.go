package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// kind is a sort of record.
type kind struct {
	Type   string // as the API's events call it: contact
	Path   string // of its pages and of its API: contacts
	One    string
	Many   string
	Prefix string // of its ids
	Fields []field
	// Columns are the fields that lists show.
	Columns int
	// Legacy records have one old page, where a parameter tells what to do.
	Legacy bool
}

// field is one value of a record.
type field struct {
	Name    string
	Label   string
	Input   string // type of the input: text, email, tel, url, number, date, textarea, select
	Options []string
	Need    bool
}

func text(name, label string) field { return field{Name: name, Label: label, Input: "text"} }

func needed(f field) field { f.Need = true; return f }

func as(input, name, label string) field { return field{Name: name, Label: label, Input: input} }

func choice(name, label string, options ...string) field {
	return field{Name: name, Label: label, Input: "select", Options: options}
}

// kinds lists every sort of record, in the order of the menu.
func kinds() []kind {
	return []kind{
		{Type: "contact", Path: "contacts", One: "Contact", Many: "Contacts", Prefix: "c", Columns: 5, Fields: []field{
			needed(text("name", "Name")), text("title", "Job title"), text("account", "Account"), needed(as("email", "email", "E-mail")),
			choice("status", "Status", "Lead", "Qualified", "Customer", "Lost"), as("tel", "phone", "Phone"), text("owner", "Owner"), as("textarea", "notes", "Notes"),
		}},
		{Type: "account", Path: "accounts", One: "Account", Many: "Accounts", Prefix: "a", Columns: 4, Fields: []field{
			needed(text("name", "Name")), text("industry", "Industry"), text("city", "City"), as("number", "employees", "Employees"),
			as("url", "website", "Website"), as("textarea", "notes", "Notes"),
		}},
		{Type: "deal", Path: "deals", One: "Deal", Many: "Deals", Prefix: "d", Columns: 5, Legacy: true, Fields: []field{
			needed(text("name", "Name")), text("account", "Account"), choice("stage", "Stage", "Discovery", "Proposal", "Negotiation", "Won", "Lost"),
			as("number", "amount", "Amount (EUR)"), as("date", "closes", "Expected close"), as("textarea", "notes", "Notes"),
		}},
		{Type: "sequence", Path: "sequences", One: "Sequence", Many: "Sequences", Prefix: "s", Columns: 4, Fields: []field{
			needed(text("name", "Name")), choice("channel", "Channel", "E-mail", "Phone", "Mixed"), as("number", "steps", "Steps"),
			choice("status", "Status", "Draft", "Active", "Paused"), as("textarea", "opening", "Opening message"),
		}},
		{Type: "integration", Path: "integrations", One: "Integration", Many: "Integrations", Prefix: "i", Columns: 3, Fields: []field{
			needed(text("name", "Name")), choice("status", "Status", "Connected", "Disconnected"), as("url", "endpoint", "Endpoint"), text("account", "Service account"),
		}},
		{Type: "user", Path: "users", One: "User", Many: "Users", Prefix: "u", Columns: 4, Fields: []field{
			needed(text("name", "Name")), needed(as("email", "email", "E-mail")), choice("role", "Role", Roles()...), choice("status", "Status", "Active", "Invited", "Disabled"),
		}},
	}
}

// settingFields and billingFields are those of the two pages of which each tenant has one.
func settingFields() []field {
	return []field{
		needed(text("company", "Company name")), choice("timezone", "Time zone", "Europe/Berlin", "Europe/London", "America/New_York", "Asia/Tokyo"),
		choice("currency", "Currency", "EUR", "USD", "GBP", "JPY"), as("number", "retention", "Keep deleted records (days)"), as("email", "sender", "Sender of mails"),
	}
}

func billingFields() []field {
	return []field{
		choice("plan", "Plan", "Starter", "Team", "Enterprise"), as("number", "seats", "Seats"), needed(as("email", "invoices_to", "Invoices to")), text("vat", "VAT number"),
	}
}

// record is one thing of one tenant.
type record struct {
	ID      string
	Values  map[string]string
	Updated time.Time
	By      string
}

func (r *record) clone() *record {
	c := *r
	c.Values = make(map[string]string, len(r.Values))
	for k, v := range r.Values {
		c.Values[k] = v
	}
	return &c
}

// matches searches every value.
func (r *record) matches(query string) bool {
	query = strings.ToLower(query)
	for _, v := range r.Values {
		if strings.Contains(strings.ToLower(v), query) {
			return true
		}
	}
	return false
}

// The bounds of the memory that a tenant's records take.
const (
	maxRecords = 2000
	maxValue   = 4000 // bytes
	maxFiles   = 20
	maxFile    = 1 << 20
)

// books are the records of one tenant.
type books struct {
	Tenant   Tenant
	records  map[string][]*record // by kind
	settings *record
	billing  *record
	invoices []invoice
	files    []upload
	next     int
}

// invoice is a line of the billing page.
type invoice struct{ Number, Date, Amount, Status string }

// upload is a stored file.
type upload struct {
	ID, Name, By string
	Data         []byte
	At           time.Time
}

func (b *books) find(kind, id string) *record {
	for _, r := range b.records[kind] {
		if r.ID == id {
			return r
		}
	}
	return nil
}

func (b *books) list(kind, query string) []*record {
	var found []*record
	for _, r := range b.records[kind] {
		if query == "" || r.matches(query) {
			found = append(found, r.clone())
		}
	}
	return found
}

// take copies the values of the fields that a kind has. It says what is missing.
func take(into map[string]string, fields []field, given map[string]string, whole bool) error {
	for _, f := range fields {
		v, ok := given[f.Name]
		if !ok && !whole {
			continue
		}
		if v = strings.TrimSpace(v); len(v) > maxValue {
			return fmt.Errorf("%s is too long", f.Label)
		}
		if v == "" && f.Need {
			return fmt.Errorf("%s is missing", f.Label)
		}
		if f.Input == "select" && v != "" && !slices.Contains(f.Options, v) {
			return fmt.Errorf("%s must be one of %s", f.Label, strings.Join(f.Options, ", "))
		}
		into[f.Name] = v
	}
	return nil
}

func (b *books) create(k kind, given map[string]string, by string, now time.Time) (*record, error) {
	if len(b.records[k.Type]) >= maxRecords {
		return nil, fmt.Errorf("there are %d already", maxRecords)
	}
	r := &record{Values: map[string]string{}, Updated: now, By: by}
	if err := take(r.Values, k.Fields, given, true); err != nil {
		return nil, err
	}
	b.next++
	r.ID = fmt.Sprintf("%s-%d", k.Prefix, b.next)
	b.records[k.Type] = append(b.records[k.Type], r)
	return r.clone(), nil
}

// change writes into a copy first, so that a mistake changes nothing.
func change(r *record, fields []field, given map[string]string, by string, now time.Time) error {
	c := r.clone()
	if err := take(c.Values, fields, given, false); err != nil {
		return err
	}
	r.Values, r.By, r.Updated = c.Values, by, now
	return nil
}

func (b *books) remove(kind, id string) bool {
	before := len(b.records[kind])
	b.records[kind] = slices.DeleteFunc(b.records[kind], func(r *record) bool { return r.ID == id })
	return len(b.records[kind]) < before
}
