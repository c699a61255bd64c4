// Package job is what the processes of the benchmark say to each other, and the requests and
// answers that they agree on.
package job

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"time"
)

// Host is the site's name; everything is on loopback.
const Host = "crm.test"

// Tenant is whose session the load carries. The backend puts the tenant header that it got
// into each answer, so an answer through the corridor proves that the tenant was injected.
const Tenant = "acme"

// NoTenant is what the backend answers when it got no tenant header: behind the floor.
const NoTenant = "none"

// Job is one run of load, written to the load generator as a line of JSON. It answers with a
// Ready, waits for a line, and answers with a Result.
type Job struct {
	Addr        string        // where the proxy listens
	Roots       string        // file with the certificate to trust
	HTTP2       bool          // streams on a quarter as many connections, instead of HTTP/1.1
	Kind        Kind          //
	Tenant      string        // what the backend must have seen
	Cookie      string        // the session
	Connections int           // requests in flight, 4 to 1000
	Warm        time.Duration // load before Ready; each connection makes one request at least
	For         time.Duration // load after it
	Seed        uint64        // makes values that no earlier job has sent
}

// Ready says that the connections are open and warm.
type Ready struct {
	Requests int    // made to get there
	Failure  string // "" when all is well
}

// Result is what was measured.
type Result struct {
	Requests int
	Took     time.Duration
	Failure  string // the first wrong answer or broken connection; the job is void
}

// Kind is what a request is.
type Kind string

// The kinds of requests.
const (
	Get      Kind = "get"       // a record of 2 KB, always the same
	GetQuery Kind = "get_query" // with four parameters that were never sent before
	Post     Kind = "post"      // a record of 1 KB with 24 values, always the same
	PostNew  Kind = "post_new"  // the same with values that were never sent before
)

// Target is the request target of the n-th request of a seed.
func (k Kind) Target(seed, n uint64) string {
	switch k {
	case Get:
		return "/api/contacts/4711"
	case GetQuery:
		w := words(seed, n)
		return fmt.Sprintf("/api/contacts?search=%s+%s&city=%s&owner=%s&page=%d", w[0], w[1], w[2], w[3], n%90+1)
	}
	return "/api/contacts"
}

// Body is the body of the n-th request of a seed; nil for none.
func (k Kind) Body(seed, n uint64) []byte {
	switch k {
	case Post:
		return record(1, 1)
	case PostNew:
		return record(seed, n)
	}
	return nil
}

// Fixed says that all requests of the kind are the same.
func (k Kind) Fixed() bool { return k == Get || k == Post }

// Headers are what a browser sends along, without Host, Cookie and what a body needs.
func (k Kind) Headers() [][2]string {
	h := [][2]string{
		{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
		{"Accept", "application/json, text/plain, */*"},
		{"Accept-Language", "en-GB,en;q=0.8,de;q=0.5"},
		{"Accept-Encoding", "gzip, deflate, br"},
		{"Referer", "https://" + Host + "/contacts"},
		{"Sec-Fetch-Dest", "empty"},
		{"Sec-Fetch-Mode", "cors"},
		{"Sec-Fetch-Site", "same-origin"},
	}
	if k == Post || k == PostNew {
		h = append(h, [2]string{"Origin", "https://" + Host}, [2]string{"Content-Type", "application/json"})
	}
	return h
}

// words are five harmless words that only this request has. They are made of syllables that no
// command or keyword of any language begins with, for the WAF is to find nothing in them.
func words(seed, n uint64) [5]string {
	syllables := [...]string{"lum", "vel", "tolm", "korn", "belm", "zinn", "hoff", "dorn", "wesk", "mund", "golm", "rilt", "samm", "fenn", "jull", "nurr"}
	var out [5]string
	x := seed*0x9e3779b97f4a7c15 + n
	for i := range out { // the mixing of SplitMix64
		x ^= x >> 30
		x *= 0xbf58476d1ce4e5b9
		x ^= x >> 27
		x *= 0x94d049bb133111eb
		x ^= x >> 31
		for shift := range 3 {
			out[i] += syllables[x>>(8*shift)&15]
		}
	}
	return out
}

// Leaves is how many values a record has.
const Leaves = 24

// record is a contact as a CRM's page sends it: about 1 KB of JSON with 24 values.
func record(seed, n uint64) []byte {
	w := words(seed, n)
	id := (seed*1_000_003 + n) % 9_000_000
	return fmt.Appendf(nil, `{"contact":{"number":"C-%07d","salutation":"Ms","first_name":"%s","last_name":"%s","email":"%s.%s@mail.example","phone":"+49 30 %07d",`+
		`"mobile":"+49 170 %07d","language":"de","birthday":"1984-03-17","address":{"street":"%s street %d","postcode":"%05d","city":"%s","country":"DE"}},`+
		`"company":{"name":"%s and %s Limited","department":"Purchasing","position":"Head of purchasing","employees":%d},`+
		`"deal":{"title":"Renewal of the maintenance contract for %s","stage":"negotiation","amount":%d.50,"currency":"EUR","probability":%d,"note":"%s"},`+
		`"owner":"%s"}`,
		id, w[0], w[1], w[0], w[1], id, id, w[2], n%200+1, id%90000+10000, w[3], w[4], w[1], n%900+10, w[4], id%80000+1000, n%100,
		"Called on Monday about the offer that we sent last week; "+w[3]+" would like to wait for the board meeting, then sign for two years. "+
			"Wants the summary in writing, and a discount for paying in advance. Next call is planned for the first week of the coming month, at ten. Their accounts department asks for the invoice by e-mail, as one file, and for the old contract.", w[2])
}

// Page is the body of the backend's answer to a GET: 2 KB of JSON.
func Page(tenant string) []byte {
	const size = 2048
	page := make([]byte, 0, size)
	page = fmt.Appendf(page, `{"tenant":"%s","contacts":[`, tenant)
	for i := 0; len(page) < size-120; i++ {
		page = fmt.Appendf(page, `{"id":%d,"name":"Contact %d","city":"Berlin"},`, 4711+i, i)
	}
	page = append(page, `{"id":1,"name":"`...)
	page = append(page, bytes.Repeat([]byte{'x'}, size-len(page)-len(`"}]}`))...)
	return append(page, `"}]}`...)
}

// Receipt is the body of the backend's answer to a POST: it proves which bytes arrived.
func Receipt(tenant string, body []byte) []byte {
	return fmt.Appendf(nil, `{"tenant":"%s","received":%d,"crc32":"%08x"}`, tenant, len(body), crc32.ChecksumIEEE(body))
}

// Answer is what the backend must have answered to a request.
func (k Kind) Answer(tenant string, body []byte) []byte {
	if body == nil {
		return Page(tenant)
	}
	return Receipt(tenant, body)
}
