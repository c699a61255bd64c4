package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/e2e/harness"
)

// tryton is Debian's Tryton 6.0 with a database for each tenant, as it comes.
type tryton struct {
	*harness.Process
	url      string
	password string // of every user but admin: the file that holds it
}

const (
	trytonAdminPassword = "the-admins-own-password"
	trytonUserPassword  = `w"{user}\7!kB9#` // what a template must not trip over
)

// trytonConf serves the web client too, names the databases to whoever asks, and holds
// a long poll for 10 seconds.
const trytonConf = `[database]
uri = sqlite://
path = %s
list = True
[web]
listen = 127.0.0.1:%d
root = /usr/share/tryton-sao/www
[session]
authentications = password
[bus]
allow_subscribe = True
long_polling_timeout = 10
`

func startTryton(t *testing.T) *tryton {
	t.Helper()
	template, err := os.ReadFile(harness.Needs(t, filepath.Join(harness.Root(), ".cache", "tryton", "template.sqlite")))
	if err != nil {
		t.Fatal(err)
	}
	dir, port := t.TempDir(), harness.Port(t, "127.0.0.1")
	for _, database := range []string{"crm_acme", "crm_globex"} {
		if err := os.WriteFile(filepath.Join(dir, database+".sqlite"), template, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf := harness.WriteFile(t, "trytond.conf", fmt.Sprintf(trytonConf, dir, port))
	b := &tryton{url: fmt.Sprintf("http://127.0.0.1:%d", port), password: harness.WriteFile(t, "password", trytonUserPassword)}
	b.Process = harness.Start(t, "trytond", exec.Command(harness.Tool(t, "trytond"), "-c", conf, "-d", "crm_acme", "crm_globex"))
	b.Listening(t, strings.TrimPrefix(b.url, "http://"))
	for _, tenant := range []string{"acme", "globex"} {
		session := b.login(t, "crm_"+tenant, "admin", trytonAdminPassword)
		for _, p := range harness.Everybody(tenant) {
			b.call(t, "crm_"+tenant, session, "model.res.user.create", fmt.Sprintf(`[[{"name":%q,"login":%q,"password":%s}],{}]`, p.Name, p.Email(), harness.Quoted(trytonUserPassword)))
		}
	}
	return b
}

// call makes a call past the gateway.
func (b *tryton) call(t *testing.T, database, authorization, method, params string) json.RawMessage {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/"+database+"/", strings.NewReader(fmt.Sprintf(`{"id":1,"method":%q,"params":%s}`, method, params)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := pastTheGateway().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Result, Error json.RawMessage }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != 200 || answer.Error != nil {
		t.Fatalf("%s: %s %v %s", method, res.Status, err, answer.Error)
	}
	return answer.Result
}

func (b *tryton) login(t *testing.T, database, user, password string) (authorization string) {
	t.Helper()
	var session []any
	answer := b.call(t, database, "", "common.db.login", fmt.Sprintf(`[%q,{"password":%s},"en"]`, user, harness.Quoted(password)))
	if err := json.Unmarshal(answer, &session); err != nil || len(session) < 2 {
		t.Fatalf("login as %s: %s", user, answer)
	}
	return "Session " + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s:%v:%v", user, session[0], session[1]))
}

// trytonSite allow-lists what reads; whatever else is called counts as a change.
const trytonSite = `
upstreams: [%q]
public: ["/", "/dist/**", "/bower_components/**", "/images/**", "/locale/**"]
tenant: {path_element: true, path_names: {acme: crm_acme, globex: crm_globex}}
upstream_auth:
  kind: login
  users: {"*": {password: "file:%s"}}
  login:
    path: "/{tenant}/"
    type: application/json
    body: '{"id":0,"method":"common.db.login","params":["{user}",{"password":"{password}"},"en"]}'
    take: {id: json.result.0, token: json.result.1}
    header: {Authorization: "Session base64({user}:{id}:{token})"}
resources:
  - {type: bus, path: "/{db}/bus", actions: {POST: read}}
  - type: model
    jsonrpc:
      path: "/{db}/"
      id: params.0.0
      methods:
        read: [model.party.party.read, model.party.party.search_read, model.party.party.search, model.party.party.search_count, model.party.party.fields_get]
        create: [model.party.party.create]
        update: [model.party.party.write]
        delete: [model.party.party.delete]
      resources: {"model.party.party.*": party, "model.sale.opportunity.*": opportunity}
`

// rpc makes a JSON-RPC call in the tenant's database.
func rpc(t *testing.T, v *harness.Visitor, method, params string) harness.Answer {
	t.Helper()
	return v.Do(t, "POST", "/crm_acme/", fmt.Sprintf(`{"id":7,"method":%q,"params":%s}`, method, params), "Content-Type: application/json")
}

func TestTrytonBehindTheGateway(t *testing.T) {
	b := startTryton(t)
	observed := harness.Observe(t, b.url)
	g := harness.StartGateway(t, harness.Setup{Binary: binary(t), Site: fmt.Sprintf(trytonSite, observed.URL, b.password)})
	mia, adam, victor := g.LoggedIn(t, harness.Mia), g.LoggedIn(t, harness.Adam), g.LoggedIn(t, harness.Victor)

	// A long poll is under way while all the rest happens.
	polled := make(chan harness.Answer, 1)
	go func() {
		poller := g.LoggedIn(t, harness.Olivia)
		polled <- poller.Do(t, "POST", "/crm_acme/bus", `{"id":0,"last_message":null,"channels":["client:x"]}`, "Content-Type: application/json")
	}()

	res := rpc(t, mia, "model.party.party.create", `[[{"name":"ACME GmbH"}],{}]`)
	var made struct{ Result []int }
	res.JSON(t, &made)
	if res.Status != 200 || len(made.Result) != 1 {
		t.Fatalf("create: %d %s", res.Status, res.Body)
	}
	id := made.Result[0]

	t.Run("reads and writes are told apart by the method, all being POSTs", func(t *testing.T) {
		if res := rpc(t, victor, "model.party.party.read", fmt.Sprintf(`[[%d],["name","create_uid.login"],{}]`, id)); res.Status != 200 || !strings.Contains(res.Body, "ACME GmbH") {
			t.Errorf("a viewer reads: %d %s", res.Status, res.Body)
		}
		if res := rpc(t, victor, "model.party.party.search_read", `[[["name","ilike","ACME%"]],0,10,null,["name"],{}]`); res.Status != 200 || !strings.Contains(res.Body, "ACME GmbH") {
			t.Errorf("a viewer searches: %d %s", res.Status, res.Body)
		}
		observed.Seen()
		res := rpc(t, victor, "model.party.party.write", fmt.Sprintf(`[[%d],{"name":"Mine"},{}]`, id))
		if res.Status != 403 || res.Code() != "not_permitted" || len(observed.Seen()) > 0 {
			t.Errorf("a viewer writes: %d %s", res.Status, res.Body)
		}
		if res := rpc(t, mia, "model.party.party.write", fmt.Sprintf(`[[%d],{"name":"ACME AG"},{}]`, id)); res.Status != 200 || !strings.Contains(res.Body, `"result":null`) {
			t.Errorf("a member writes: %d %s", res.Status, res.Body)
		}
		for _, method := range []string{"model.party.party.copy", "model.ir.model.read", "wizard.party.erase.execute", "common.db.login"} {
			if res := rpc(t, victor, method, `[[1],{}]`); res.Status != 403 {
				t.Errorf("a viewer calls %s, of which nothing is known: %d %s", method, res.Status, res.Body)
			}
		}
	})

	t.Run("each user is who they are at the backend", func(t *testing.T) {
		session := b.login(t, "crm_acme", "admin", trytonAdminPassword)
		got := string(b.call(t, "crm_acme", session, "model.party.party.read", fmt.Sprintf(`[[%d],["name","create_uid.login","write_uid.login"],{}]`, id)))
		if !strings.Contains(got, `"ACME AG"`) || strings.Count(got, `"mia@acme.test"`) != 2 {
			t.Errorf("the backend has %s", got)
		}
	})

	t.Run("the browser never holds a credential of the backend", func(t *testing.T) {
		observed.Seen()
		rpc(t, victor, "model.party.party.search_count", `[[],{}]`)
		seen := observed.Seen()
		if len(seen) != 1 || !strings.HasPrefix(seen[0].Header.Get("Authorization"), "Session ") || seen[0].Header.Get("Cookie") != "" || seen[0].Header.Get("X-Tenant-Id") != "acme" {
			t.Errorf("the backend got %+v", seen)
		}
		for name := range victor.Cookies(t) {
			if !strings.HasPrefix(name, "__Host-sallyport") {
				t.Errorf("the browser got the cookie %s", name)
			}
		}
	})

	t.Run("traps", func(t *testing.T) {
		remove := fmt.Sprintf(`{"id":1,"method":"model.party.party.delete","params":[[%d],{}]}`, id)
		read := fmt.Sprintf(`"params":[[%d],["name"],{}]`, id)
		isJSON, isGzip := "Content-Type: application/json", "Content-Encoding: gzip"
		for _, c := range []struct {
			name, path, body string
			header           []string
			status           int
			code             string
		}{
			{"a method given twice", "/crm_acme/", `{"id":1,"method":"model.party.party.read","method":"model.party.party.delete",` + read + `}`, []string{isJSON}, 400, ""},
			{"an escaped method", "/crm_acme/", `{"id":1,"method":"model.party.party.read","m\u0065thod":"model.party.party.delete",` + read + `}`, []string{isJSON}, 400, ""},
			{"only an escaped method", "/crm_acme/", `{"id":1,"m\u0065thod":"model.party.party.delete",` + read + `}`, []string{isJSON}, 400, "jsonrpc_invalid"},
			{"a batch", "/crm_acme/", `[` + remove + `]`, []string{isJSON}, 400, "jsonrpc_invalid"},
			{"a change under gzip", "/crm_acme/", zipped(remove), []string{isJSON, isGzip}, 403, "not_permitted"},
			{"a change under two codings", "/crm_acme/", zipped(zipped(remove)), []string{isJSON, "Content-Encoding: gzip, gzip"}, 415, ""},
			{"gzip without saying so", "/crm_acme/", zipped(remove), []string{isJSON}, 400, ""},
			{"XML-RPC", "/crm_acme/", "<?xml version='1.0'?><methodCall><methodName>model.party.party.delete</methodName></methodCall>", []string{"Content-Type: text/xml"}, 415, ""},
			{"JSON that calls itself text", "/crm_acme/", remove, []string{"Content-Type: text/plain"}, 415, ""},
			{"JSON without a type", "/crm_acme/", remove, nil, 415, ""},
			{"another tenant's database", "/crm_globex/", `{"id":1,"method":"model.party.party.search_read","params":[[],0,10,null,["name"],{}]}`, []string{isJSON}, 403, "tenant_mismatch"},
			{"another tenant's database, encoded", "/%63rm_globex/", `{"id":1,"method":"model.party.party.search_read","params":[[],0,10,null,["name"],{}]}`, []string{isJSON}, 403, "tenant_mismatch"},
			{"another tenant's bus", "/crm_globex/bus", `{"id":1,"channels":[]}`, []string{isJSON}, 403, "tenant_mismatch"},
			{"the names of all databases", "/", `{"id":1,"method":"common.db.list","params":[]}`, []string{isJSON}, 403, "tenant_mismatch"},
		} {
			observed.Seen()
			res := victor.Do(t, "POST", c.path, c.body, c.header...)
			if res.Status != c.status || c.code != "" && res.Code() != c.code {
				t.Errorf("%s: %d %s, want %d %s", c.name, res.Status, res.Body, c.status, c.code)
			}
			if seen := observed.Seen(); len(seen) > 0 {
				t.Errorf("%s: the backend got %+v", c.name, seen)
			}
		}
		// The traps are real: past the gateway they spring.
		req, err := http.NewRequestWithContext(t.Context(), "POST", b.url+"/", strings.NewReader(`{"id":1,"method":"common.db.list","params":[]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		direct, err := pastTheGateway().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer direct.Body.Close()
		if names, _ := io.ReadAll(direct.Body); !strings.Contains(string(names), "crm_globex") {
			t.Errorf("past the gateway the backend says %s", names)
		}
		if res := rpc(t, victor, "model.party.party.read", fmt.Sprintf(`[[%d],["name"],{}]`, id)); res.Status != 200 || !strings.Contains(res.Body, "ACME AG") {
			t.Errorf("after all that: %d %s", res.Status, res.Body)
		}
	})

	t.Run("an honest body under gzip arrives", func(t *testing.T) {
		res := victor.Do(t, "POST", "/crm_acme/", zipped(fmt.Sprintf(`{"id":1,"method":"model.party.party.read","params":[[%d],["name"],{}]}`, id)), "Content-Type: application/json", "Content-Encoding: gzip")
		if res.Status != 200 || !strings.Contains(res.Body, "ACME AG") {
			t.Errorf("got %d %s", res.Status, res.Body)
		}
	})

	t.Run("the backend's own client loads", func(t *testing.T) {
		if res := g.NewVisitor(t).Visit(t, "/"); res.Status != 200 || !strings.Contains(res.Body, "tryton-sao") {
			t.Errorf("got %d %.300s", res.Status, res.Body)
		}
	})

	t.Run("a deletion is one", func(t *testing.T) {
		if res := rpc(t, mia, "model.party.party.delete", fmt.Sprintf(`[[%d],{}]`, id)); res.Status != 403 {
			t.Errorf("a member deletes: %d %s", res.Status, res.Body)
		}
		if res := rpc(t, adam, "model.party.party.delete", fmt.Sprintf(`[[%d],{}]`, id)); res.Status != 200 || !strings.Contains(res.Body, `"result":null`) {
			t.Errorf("an admin deletes: %d %s", res.Status, res.Body)
		}
	})

	t.Run("logout cuts a long poll", func(t *testing.T) {
		observed.Seen()
		req := adam.Request(t, "POST", "/crm_acme/bus", strings.NewReader(`{"id":0,"last_message":null,"channels":[]}`), "Content-Type: application/json")
		ended := make(chan string, 1)
		go func() {
			res, err := adam.Client.Do(req)
			if err != nil {
				ended <- "cut"
				return
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			ended <- fmt.Sprintf("%s %s %v", res.Status, text, err)
		}()
		harness.Eventually(t, "the poll is at the backend", func() bool { return len(observed.Seen()) > 0 })
		if res := adam.Do(t, "POST", "/.sallyport/logout", ""); res.Status != 303 {
			t.Fatalf("logout: %d %s", res.Status, res.Body)
		}
		if got := <-ended; got != "cut" && !strings.HasPrefix(got, "401") {
			t.Errorf("the poll ended with %s", got)
		}
	})

	if res := <-polled; res.Status != 200 || !strings.Contains(res.Body, `"message":null`) {
		t.Errorf("the long poll: %d %s", res.Status, res.Body)
	}
	g.Stop(t)
	var changes []string
	for _, ev := range g.Events(t) {
		if ev.Outcome == access.Done && ev.Resource.Type != "sallyport" && ev.Resource.Type != "audit_journal" {
			changes = append(changes, harness.Shown(ev))
		}
	}
	// The id of what is created is the backend's to choose, and to tell in its answer.
	want := []string{
		fmt.Sprintf("acme mia@acme.test create party/%d done 200", id),
		fmt.Sprintf("acme mia@acme.test update party/%d done 200", id),
		fmt.Sprintf("acme adam@acme.test delete party/%d done 200", id),
	}
	if got := strings.Join(changes, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("the journal has the changes\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	if err == nil {
		err = w.Close()
	}
	if err != nil { // a buffer takes everything
		return ""
	}
	return b.String()
}
