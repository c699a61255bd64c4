package audit

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport/sallyport/access"
)

// Bounds of an event's texts, in bytes. What is longer is cut and ends in "…".
const (
	maxAgent   = 256
	maxPath    = 1024
	maxName    = 256 // of an actor, resource, route, rule or field
	maxReasons = 16
	maxAMR     = 8
)

// Actions of the journal's own events, whose resource type is "audit_journal", and of
// counted refusals.
const (
	ActionJournal = "journal"          // the journal was opened, repaired or had no room
	ActionCounted = "refused_requests" // many refusals in one record
)

// content is what a record's second line holds: the event, and what only some have.
type content struct {
	access.Event
	// Count is how many requests a counted event stands for, or how many records were lost.
	Count int64 `json:"count,omitempty"`
	// Note says what happened to the journal itself.
	Note string `json:"note,omitempty"`
}

func newEntry(kind string, c claim, body content) (*entry, error) {
	line, err := json.Marshal(body)
	if err == nil && len(line) > maxContent {
		err = fmt.Errorf("%d bytes, at most %d", len(line), maxContent)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: encode the event: %w", ErrUnwritten, err)
	}
	return &entry{event: body.Event, kind: kind, content: line, hash: sha256.Sum256(line), claim: c}, nil
}

// DecodeEvent reads the content line of a record. Count is 0 unless the record stands for
// many requests.
func DecodeEvent(line []byte) (ev access.Event, count int64, err error) {
	// A stranger's event has no tenant, which TenantID's own parser refuses.
	var body struct {
		content
		Tenant string `json:"tenant"`
	}
	if err := json.Unmarshal(line, &body); err != nil {
		return access.Event{}, 0, fmt.Errorf("decode an audit event: %w", err)
	}
	if body.Tenant != "" {
		if body.Event.Tenant, err = access.ParseTenantID(body.Tenant); err != nil {
			return access.Event{}, 0, fmt.Errorf("decode an audit event: %w", err)
		}
	}
	return body.Event, body.Count, nil
}

// event tells what is known of the request by now; a login's actor only in the end.
func (l *Log) event(ex *access.Exchange) access.Event {
	ev := access.Event{
		ID: ex.EventID, Time: ex.Received.UTC(), Node: l.node, Tenant: ex.Tenant(), Old: source(ex),
		Client:   access.Origin{Addr: ex.Client.Addr},
		Action:   label(ex.Route.Action, maxName),
		Resource: access.Resource{Type: label(ex.Route.Resource, maxName), ID: label(ex.Route.ID, maxName)},
		Request:  access.RequestInfo{ID: label(ex.ID, maxName), Route: label(ex.Route.Pattern, maxName), Path: label(ex.Target.Path, maxPath)},
		Decision: access.DecisionInfo{Rule: label(ex.Decision.Rule, maxName), Revision: label(ex.Decision.Revision, maxName)},
	}
	if ex.Received.IsZero() {
		ev.Time = l.now().UTC()
	}
	if ev.Decision.Rule != "" {
		ev.Decision.Gate = "authorize"
	}
	if ex.Site != nil {
		ev.Request.Site = label(ex.Site.Name, maxName)
	}
	if r := ex.Request; r != nil {
		ev.Client.UserAgent = label(r.UserAgent(), maxAgent)
		ev.Request.Method = label(r.Method, 32)
		if ev.Request.Path == "" && r.URL != nil { // refused before sanitize
			ev.Request.Path = label(r.URL.Path, maxPath)
		}
	}
	if id := ex.Identity; id != nil {
		ev.Actor = actor(id)
	}
	l.name(&ev, ex.Route)
	return ev
}

// name fills in action and resource where the route does not tell.
func (l *Log) name(ev *access.Event, route access.Route) {
	if e := route.Endpoint; e != nil {
		if ev.Action == "" {
			ev.Action = label(e.Action, maxName)
		}
		if ev.Resource.Type == "" {
			ev.Resource.Type = label(e.Path, maxName)
		}
		if ev.Request.Route == "" {
			ev.Request.Route = label(e.Path, maxName)
		}
	}
	if ev.Action == "" {
		ev.Action = access.ActionUnknown
	}
	if ev.Resource.Type == "" {
		ev.Resource.Type = access.OtherResource
	}
}

func actor(id *access.Identity) access.Actor {
	a := access.Actor{
		ID: label(id.Subject, maxName), Email: label(id.Email, maxName),
		Provider: label(id.Provider, maxName), Session: label(id.SessionID, maxName),
	}
	for _, method := range id.AMR[:min(len(id.AMR), maxAMR)] {
		a.AMR = append(a.AMR, label(method, 32))
	}
	return a
}

// refused adds why a request was refused. The refusal's private half stays out: it may
// quote the client.
func refused(ev *access.Event, ex *access.Exchange, r *access.Refusal) {
	ev.Outcome, ev.Status = access.Refused, r.Status
	ev.Decision.Gate = label(r.Gate, maxName)
	reasons := []string{label(r.Code, maxName)}
	for _, reason := range ex.Decision.Reasons {
		reasons = append(reasons, label(reason.ID, maxName))
	}
	for _, f := range ex.Findings {
		if f.Blocked {
			reasons = append(reasons, "waf:"+strconv.Itoa(f.Rule))
		}
	}
	ev.Decision.Reasons = reasons[:min(len(reasons), maxReasons)]
}

func took(ex *access.Exchange, now time.Time) time.Duration {
	if ex.Received.IsZero() {
		return 0
	}
	return max(0, now.Sub(ex.Received))
}

// label makes a name safe to print anywhere: valid UTF-8, at most limit bytes, and nothing
// that moves a cursor or turns the writing direction (CWE-117).
func label(s string, limit int) string {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || i >= limit {
			return cut(strings.Map(graphic, cut(s, limit)), limit)
		}
	}
	return s
}

func graphic(r rune) rune {
	if unicode.IsGraphic(r) {
		return r
	}
	return utf8.RuneError
}

// bound drops most of what cut would drop, so that a huge text costs nothing.
func bound(s string, limit int) string { return s[:min(len(s), limit+utf8.UTFMax)] }

// cut makes s valid UTF-8 of at most limit bytes, and shows where it was cut.
func cut(s string, limit int) string {
	const mark = "…"
	long := len(s) > limit
	s = strings.ToValidUTF8(bound(s, limit), "\uFFFD")
	if !long && len(s) <= limit {
		return s
	}
	end := min(len(s), limit-len(mark))
	for end > 0 && end < len(s) && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
