package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/demo"
)

// demoBacklog is how many audit events may wait for a slow terminal.
const demoBacklog = 1024

func printDemo(out io.Writer, f demoFacts) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "\nSallyport demo: a CRM without any security of its own, behind the gateway.\n\n")
	fmt.Fprintf(&b, "  %s\n\n", f.URL)
	fmt.Fprintf(&b, "Your browser will warn: the certificate is of a local authority, made just now. Go on, or trust %s.\n\n", f.CA)
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "LOG IN AS\tPASSWORD\tROLE\tWHAT THE ROLE MAY\n")
	for _, u := range f.Users {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.Email, u.Password, u.Role, roleMeans(u))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\nTry with curl; the cookies of a few people who are logged in lie in this folder:\n\n  cd %s\n", f.Dir)
	printLines(&b, f.Try)
	fmt.Fprintf(&b, "\nAttacks to try (in the browser: %s/demo/attacks):\n", f.URL)
	printLines(&b, f.Attack)
	fmt.Fprintf(&b, "\nThe configuration, taken over when you save it   %s\n", f.Config)
	fmt.Fprintf(&b, "The gateway's log                                %s\n", f.Log)
	fmt.Fprintf(&b, "Health and metrics                               %s/readyz  %s/metrics\n", f.Ops, f.Ops)
	fmt.Fprintf(&b, "\nCtrl-C ends the demo and removes the folder. From here on: audit events, as they are written.\n\n")
	_, err := out.Write(b.Bytes())
	return err
}

// roleMeans says it once, at the first tenant's people.
func roleMeans(u demo.User) string {
	if u.Tenant != demo.Tenants()[0].ID {
		return ""
	}
	return map[string]string{
		"owner":  "everything, billing and settings as well",
		"admin":  "records, sequences, integrations and users; no billing",
		"member": "creates and edits records and sequences; deletes nothing",
		"viewer": "reads records and sequences",
	}[u.Role]
}

func printLines(b *bytes.Buffer, lines []demoLine) {
	for _, l := range lines {
		result := strconv.Itoa(l.Status)
		if l.Code != "" {
			result += " " + l.Code
		}
		fmt.Fprintf(b, "\n  # %s → %s: %s\n  %s\n", l.Title, result, l.Why, l.Line)
	}
}

// followDemo prints events until there are no more. A change is told when its outcome is
// known: the intent before it would only say the same twice.
func followDemo(out io.Writer, events <-chan access.Event, asJSON bool) {
	enc := json.NewEncoder(out)
	for ev := range events {
		switch {
		case asJSON:
			enc.Encode(ev) // a reader that is gone ends the process by a signal
		case ev.Outcome != access.Intended:
			fmt.Fprintln(out, eventLine(ev))
		}
	}
}

// eventLine is one audit event for people.
func eventLine(ev access.Event) string {
	who := ev.Actor.Email
	if who == "" {
		who = "somebody"
	}
	tenant := ev.Tenant.String()
	if tenant == "" {
		tenant = "-"
	}
	what := ev.Action + " " + ev.Resource.Type
	if ev.Resource.ID != "" {
		what += " " + ev.Resource.ID
	}
	line := fmt.Sprintf("%s  %-7s  %-22s  %-8s %3d  %s", ev.Time.Local().Format(time.TimeOnly), tenant, who, ev.Outcome, ev.Status, what)
	var more []string
	if ev.Outcome == access.Refused {
		more = append(more, strings.TrimSpace(ev.Decision.Gate+" "+ev.Decision.Rule))
		more = append(more, ev.Decision.Reasons...)
	}
	for _, c := range ev.Changes {
		more = append(more, fmt.Sprintf("%s: %q → %q", c.Field, c.Old, c.New))
	}
	more = append(more, ev.Request.Method+" "+ev.Request.Path)
	return plainText(line + "  (" + strings.Join(more, "; ") + ")")
}

// plainText keeps a client's path or name from steering the terminal.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
