package demo

import (
	"fmt"
	"strings"
	"time"
)

// seed is a tenant's first records: one line each, the values in the order of the kind's
// fields, separated by '|'.
type seed struct {
	first    int // of the record ids
	records  map[string][]string
	settings string
	billing  string
	invoices []invoice
}

func seeds() map[string]seed {
	return map[string]seed{"acme": seedAcme(), "globex": seedGlobex(), "initech": seedInitech()}
}

func seedAcme() seed {
	return seed{first: 1000, records: map[string][]string{
		"contact": {
			"Ada Winters|Head of Purchasing|Nordlicht Logistik|ada.winters@nordlicht.example|Customer|+49 40 5550 1870|Mia Santos|Prefers calls before ten. Renewal is due in March.",
			"Jonas Feld|Plant Manager|Feld & Söhne Maschinenbau|jonas.feld@feld.example|Qualified|+49 711 5550 442|Mia Santos|Visited the stand in Hannover.",
			"Camille Laurent|COO|Laurent Énergie|camille@laurent.example|Lead|+33 1 5550 7712|Adam Keller|",
			"Ravi Menon|IT Director|Silverpine Foods|ravi.menon@silverpine.example|Customer|+44 20 5550 8190|Mia Santos|Wants single sign-on for his whole team.",
			"Hanna Virtanen|Buyer|Kaari Design|hanna@kaari.example|Qualified|+358 9 5550 233|Mia Santos|",
			"Tomás Pereira|Owner|Pereira Ceramics|tomas@pereira.example|Lost|+351 21 5550 904|Adam Keller|Went with a cheaper offer; ask again next year.",
			"Grace Adeyemi|Facility Lead|Silverpine Foods|grace.adeyemi@silverpine.example|Lead|+44 20 5550 8177|Mia Santos|",
			"Ludwig Oberhauser|Procurement|Alpenblick Hotels|l.oberhauser@alpenblick.example|Customer|+43 512 5550 61|Olivia Brandt|O'Brien introduced us. Terms: 30 days, 2% discount.",
		},
		"account": {
			"Nordlicht Logistik|Transport|Hamburg|420|https://nordlicht.example|Two sites, third one planned.",
			"Feld & Söhne Maschinenbau|Machinery|Stuttgart|85|https://feld.example|",
			"Laurent Énergie|Energy|Lyon|1200|https://laurent.example|",
			"Silverpine Foods|Food|Leeds|310|https://silverpine.example|",
			"Kaari Design|Furniture|Helsinki|24|https://kaari.example|",
		},
		"deal": {
			"Conveyor upgrade|Nordlicht Logistik|Negotiation|84000|2027-02-15|Legal has the contract.",
			"Press line 3|Feld & Söhne Maschinenbau|Proposal|126500|2027-03-31|",
			"Turbine sensors|Laurent Énergie|Discovery|48000|2027-05-20|",
			"Cold store doors|Silverpine Foods|Won|31200|2026-10-02|",
			"Showroom fittings|Kaari Design|Proposal|9800|2027-01-18|",
			"Lift modernisation|Alpenblick Hotels|Negotiation|67000|2027-02-28|",
		},
		"sequence": {
			"New lead welcome|E-mail|4|Active|Thank you for visiting our stand. May I show you what changed since?",
			"Renewal in 90 days|Mixed|6|Active|Your agreement ends in three months.",
			"Win back|E-mail|3|Draft|",
		},
		"integration": {
			"Mail relay|Connected|https://mail.acme.example/hook|crm@acme.example",
			"Ledger export|Connected|https://ledger.acme.example/import|ledger-bot",
			"Calendar|Disconnected|https://calendar.acme.example|",
		},
		"user": {"Olivia Brandt|owner@acme.example|owner|Active", "Adam Keller|admin@acme.example|admin|Active", "Mia Santos|member@acme.example|member|Active", "Victor Lindqvist|viewer@acme.example|viewer|Active"},
	},
		settings: "Acme Industries|Europe/Berlin|EUR|30|crm@acme.example", billing: "Enterprise|25|accounts@acme.example|DE811128135",
		invoices: []invoice{{"ACM-2026-11", "2026-11-01", "1,225.00 EUR", "open"}, {"ACM-2026-10", "2026-10-01", "1,225.00 EUR", "paid"}, {"ACM-2026-09", "2026-09-01", "1,176.00 EUR", "paid"}},
	}
}

func seedGlobex() seed {
	return seed{first: 2000, records: map[string][]string{
		"contact": {
			"Helena Marquez|VP Supply|Orbis Shipping|helena@orbis.example|Customer|+1 212 5550 144|Marta Nowak|Board meeting in June decides about the merger. Confidential.",
			"Kenji Mori|Engineer|Takara Optics|k.mori@takara.example|Qualified|+81 3 5550 7720|Marta Nowak|",
			"Sofia Lindgren|CFO|Fjordkraft|sofia@fjordkraft.example|Lead|+47 22 5550 19|Aiko Tanaka|",
			"Daniel Okoye|Founder|Brightwell Labs|daniel@brightwell.example|Customer|+234 1 5550 812|Marta Nowak|",
		},
		"account": {
			"Orbis Shipping|Transport|New York|5400|https://orbis.example|", "Takara Optics|Optics|Tokyo|640|https://takara.example|",
			"Fjordkraft|Energy|Oslo|150|https://fjordkraft.example|",
		},
		"deal": {
			"Fleet tracking|Orbis Shipping|Negotiation|940000|2027-01-30|Do not mention outside.", "Lens coating|Takara Optics|Proposal|212000|2027-04-11|",
			"Grid study|Fjordkraft|Discovery|56000|2027-06-01|",
		},
		"sequence":    {"Executive briefing|Mixed|5|Active|I would like to invite you to our briefing.", "Trade fair follow-up|E-mail|3|Paused|"},
		"integration": {"Warehouse|Connected|https://warehouse.globex.example/api|svc-crm"},
		"user":        {"Oscar Haddad|owner@globex.example|owner|Active", "Aiko Tanaka|admin@globex.example|admin|Active", "Marta Nowak|member@globex.example|member|Active", "Vera Okafor|viewer@globex.example|viewer|Active"},
	},
		settings: "Globex Corporation|America/New_York|USD|90|sales@globex.example", billing: "Enterprise|120|ap@globex.example|",
		invoices: []invoice{{"GLX-2026-11", "2026-11-01", "5,880.00 USD", "open"}, {"GLX-2026-10", "2026-10-01", "5,880.00 USD", "paid"}},
	}
}

func seedInitech() seed {
	return seed{first: 3000, records: map[string][]string{
		"contact": {
			"Nora Petrova|Office Manager|Papyrus Office|nora@papyrus.example|Customer|+1 512 5550 311|Milton Rossi|Ask about the red staplers.",
			"Samir Haddad|Consultant|Haddad & Partners|samir@haddad.example|Lead|+1 512 5550 902|Milton Rossi|",
			"Elif Demir|CTO|Bosphorus Data|elif@bosphorus.example|Qualified|+90 212 5550 46|Amina Yilmaz|",
		},
		"account": {"Papyrus Office|Stationery|Austin|60|https://papyrus.example|", "Bosphorus Data|Software|Istanbul|210|https://bosphorus.example|"},
		"deal":    {"Report templates|Papyrus Office|Proposal|7400|2027-01-12|", "Bank software audit|Bosphorus Data|Discovery|38000|2027-03-03|"},
		"sequence": {
			"Quarterly check-in|Phone|2|Active|Just calling to hear how things are.",
		},
		"integration": {"Fax gateway|Connected|https://fax.initech.example|fax-01"},
		"user":        {"Owen Castillo|owner@initech.example|owner|Active", "Amina Yilmaz|admin@initech.example|admin|Active", "Milton Rossi|member@initech.example|member|Active", "Valerie Dubois|viewer@initech.example|viewer|Active"},
	},
		settings: "Initech|America/New_York|USD|14|hello@initech.example", billing: "Team|8|bill@initech.example|",
		invoices: []invoice{{"INI-2026-11", "2026-11-01", "232.00 USD", "open"}},
	}
}

// stock fills every tenant's books.
func stock(now time.Time) map[string]*books {
	all := map[string]*books{}
	for _, t := range Tenants() {
		s := seeds()[t.ID]
		b := &books{Tenant: t, records: map[string][]*record{}, invoices: s.invoices, next: s.first + 500}
		for _, k := range kinds() {
			for i, line := range s.records[k.Type] {
				b.records[k.Type] = append(b.records[k.Type], seeded(fmt.Sprintf("%s-%d", k.Prefix, s.first+1+i), k.Fields, line, now.Add(-time.Duration(i+1)*7*time.Hour)))
			}
		}
		b.settings = seeded("settings", settingFields(), s.settings, now.AddDate(0, -2, 0))
		b.billing = seeded("billing", billingFields(), s.billing, now.AddDate(0, -1, 0))
		all[t.ID] = b
	}
	return all
}

func seeded(id string, fields []field, line string, at time.Time) *record {
	r := &record{ID: id, Values: map[string]string{}, Updated: at, By: "import"}
	for i, v := range strings.Split(line, "|") {
		r.Values[fields[i].Name] = v
	}
	return r
}
