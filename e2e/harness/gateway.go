package harness

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/audit"
)

// Setup says what a gateway of the tests stands in front of.
type Setup struct {
	// Binary is the built gateway.
	Binary string
	// Site is YAML: the keys of the one site besides name and hosts, without indentation.
	Site string
	// Top is YAML: further keys of the file.
	Top string
	// Database is the store; SQLite in the gateway's folder when empty.
	Database string
}

// Gateway is the built binary, running, and what belongs to it.
type Gateway struct {
	*Process
	URL   string // https://crm.test:41234
	Plain string // http://…
	Ops   string // http://127.0.0.1:…
	Dir   string
	File  string // the configuration

	providers []*Provider
	cert      certificate
	binary    string
}

// Host is the name of the one site.
const Host = "crm.test"

const configuration = `environment: e2e
edge:
  https: "127.0.0.1:{{.HTTPS}}"
  http: "127.0.0.1:{{.HTTP}}"
  ops: "127.0.0.1:{{.Ops}}"
  tls: {certificates: [{cert: "{{.Cert}}", key: "{{.Key}}"}]}
  drain: 20s
store: {database: "{{.Database}}", master_key: "file:{{.Keys}}/master.key"}
proxy:
  sites:
    - name: crm
      hosts: [` + Host + `]
{{.Site}}
authn:
  oidc:
{{- range .Providers}}
    - name: {{.Tenant}}-sso
      tenant: {{.Tenant}}
      issuer: "{{.Issuer}}"
      client_id: sallyport
      client_secret: "file:{{$.Keys}}/{{.Tenant}}.client"
      allow: [127.0.0.0/8]
      roles: {map: {owner: owner, admin: admin, member: member, viewer: viewer}}
{{- end}}
directory:
  tenants:
    - {id: acme, name: Acme, domains: [acme.test]}
    - {id: globex, name: Globex, domains: [globex.test]}
audit: {dir: "{{.Dir}}/audit"}
{{.Top}}
`

// StartGateway starts the identity providers of both tenants and the gateway, and waits until
// it is ready.
func StartGateway(t testing.TB, s Setup) *Gateway {
	t.Helper()
	g := &Gateway{Dir: t.TempDir(), cert: newCertificate(t, Host), binary: s.Binary}
	https, plain, ops := Port(t, "127.0.0.1"), Port(t, "127.0.0.1"), Port(t, "127.0.0.1")
	g.URL, g.Plain, g.Ops = fmt.Sprintf("https://%s:%d", Host, https), fmt.Sprintf("http://%s:%d", Host, plain), fmt.Sprintf("http://127.0.0.1:%d", ops)
	back := g.URL + "/.sallyport/oidc/callback"
	g.providers = []*Provider{StartProvider(t, "acme", "127.0.0.1", back), StartProvider(t, "globex", "127.0.0.2", back)}
	keys := t.TempDir()
	random := make([]byte, 32)
	rand.Read(random)
	secrets := map[string]string{"master.key": base64.StdEncoding.EncodeToString(random)}
	for _, p := range g.providers {
		secrets[p.Tenant+".client"] = p.Secret
	}
	for name, text := range secrets {
		if err := os.WriteFile(filepath.Join(keys, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s.Database == "" {
		s.Database = "sqlite:" + g.Dir + "/sallyport.db"
	}
	var text strings.Builder
	err := template.Must(template.New("").Parse(configuration)).Execute(&text, map[string]any{
		"HTTPS": https, "HTTP": plain, "Ops": ops, "Cert": g.cert.certFile, "Key": g.cert.keyFile, "Keys": keys, "Dir": g.Dir,
		"Database": s.Database, "Providers": g.providers, "Site": indent(s.Site, 6), "Top": s.Top,
	})
	if err != nil {
		t.Fatal(err)
	}
	// A folder of its own, since that is what is watched.
	g.File = WriteFile(t, "sallyport.yaml", text.String())
	g.Restart(t)
	return g
}

func indent(text string, by int) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.Repeat(" ", by) + line
	}
	return strings.Join(lines, "\n")
}

// Restart starts the gateway (again, when it has ended) and waits until it is ready.
func (g *Gateway) Restart(t testing.TB) {
	t.Helper()
	g.Process = Start(t, "sallyport", exec.Command(g.binary, "serve", "--config", g.File))
	p := g.Process
	t.Cleanup(func() {
		if strings.Contains(p.Stderr.String(), "DATA RACE") {
			t.Errorf("the race detector spoke:\n%s", tail(p.Stderr.String()))
		}
	})
	Eventually(t, "the gateway is ready", func() bool {
		if !p.Running() {
			t.Fatalf("the gateway has ended:\n%s", tail(p.Stderr.String()))
		}
		status, _ := g.Ask(t, "/readyz")
		return status == http.StatusOK
	})
}

// Stop ends the gateway as an init system does, and demands that it ends well.
func (g *Gateway) Stop(t testing.TB) {
	t.Helper()
	g.Signal(syscall.SIGTERM)
	if code := g.Wait(t); code != 0 {
		t.Errorf("the gateway ended with %d:\n%s", code, tail(g.Stderr.String()))
	}
}

// Kill ends the gateway as a power cut does.
func (g *Gateway) Kill(t testing.TB) {
	t.Helper()
	g.Signal(syscall.SIGKILL)
	g.Wait(t)
}

// Ask gets a page of the ops listener; status 0 when nobody answers.
func (g *Gateway) Ask(t testing.TB, path string) (int, string) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(g.Ops + path)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, ""
	}
	return res.StatusCode, string(text)
}

// Logged says whether a line of the log says msg and holds all the texts.
func (g *Gateway) Logged(msg string, texts ...string) bool {
line:
	for line := range strings.Lines(g.Stderr.String()) {
		var entry struct {
			Msg string `json:"msg"`
		}
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Msg != msg {
			continue
		}
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue line
			}
		}
		return true
	}
	return false
}

// Events reads and verifies the journal: each event once, with its latest outcome, in
// order. A gateway that runs may be writing; what it has not finished is left out.
func (g *Gateway) Events(t testing.TB) []access.Event {
	t.Helper()
	var order []string
	events := map[string]access.Event{}
	err := audit.Read(filepath.Join(g.Dir, "audit"), func(_ audit.Header, content []byte) error {
		ev, count, err := audit.DecodeEvent(content)
		if err != nil || count > 0 {
			return err
		}
		if _, seen := events[ev.ID]; !seen {
			order = append(order, ev.ID)
		}
		events[ev.ID] = ev
		return nil
	}, nil)
	if err != nil && (!g.Running() || !strings.Contains(err.Error(), "ends inside")) {
		t.Fatalf("the journal does not verify: %v", err)
	}
	all := make([]access.Event, len(order))
	for i, id := range order {
		all[i] = events[id]
	}
	return all
}

// Event waits for an event in the journal whose outcome is known.
func (g *Gateway) Event(t testing.TB, what string, fits func(access.Event) bool) access.Event {
	t.Helper()
	var found access.Event
	Eventually(t, "the journal has "+what, func() bool {
		for _, ev := range g.Events(t) {
			if ev.Outcome != access.Intended && fits(ev) {
				found = ev
				return true
			}
		}
		return false
	})
	return found
}

// Shown is an event as a test compares it: who did what to which thing, and how it ended.
func Shown(ev access.Event) string {
	return fmt.Sprintf("%s %s %s %s/%s %s %s", ev.Tenant, ev.Actor.Email, ev.Action, ev.Resource.Type, ev.Resource.ID, ev.Outcome, strconv.Itoa(ev.Status))
}
