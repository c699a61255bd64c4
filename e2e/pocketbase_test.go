package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/e2e/harness"
)

// pocketBase is one tenant's instance of PocketBase, as it comes.
type pocketBase struct {
	*harness.Process
	tenant, url, superuser string
	tokens                 map[string]string // by e-mail: the file that holds the token
}

func startPocketBase(t *testing.T, tenant string) *pocketBase {
	t.Helper()
	program := harness.Needs(t, filepath.Join(harness.Root(), ".cache", "pocketbase"))
	dir, address := t.TempDir(), fmt.Sprintf("127.0.0.1:%d", harness.Port(t, "127.0.0.1"))
	harness.Run(t, exec.Command(program, "superuser", "upsert", "root@"+tenant+".test", "superuser-password", "--dir", dir))
	p := &pocketBase{tenant: tenant, url: "http://" + address, tokens: map[string]string{}}
	p.Process = harness.Start(t, "PocketBase of "+tenant, exec.Command(program, "serve", "--http", address, "--dir", dir))
	p.Listening(t, address)
	p.superuser = p.call(t, "/api/collections/_superusers/auth-with-password", map[string]any{"identity": "root@" + tenant + ".test", "password": "superuser-password"})["token"].(string)
	rule := "@request.auth.id != ''"
	p.call(t, "/api/collections", map[string]any{
		"name": "contacts", "type": "base", "listRule": rule, "viewRule": rule, "createRule": rule, "updateRule": rule, "deleteRule": rule,
		"fields": []map[string]any{{"name": "name", "type": "text"}, {"name": "email", "type": "text"}, {"name": "card", "type": "file", "maxSelect": 1, "maxSize": 64 << 20}},
	})
	for _, person := range harness.Everybody(tenant) {
		user := p.call(t, "/api/collections/users/records", map[string]any{"email": person.Email(), "password": "never-typed-by-anybody", "passwordConfirm": "never-typed-by-anybody", "verified": true})
		token := p.call(t, fmt.Sprintf("/api/collections/users/impersonate/%s", user["id"]), map[string]any{"duration": 3600})["token"].(string)
		p.tokens[person.Email()] = harness.WriteFile(t, "token", token)
	}
	return p
}

// call makes a POST past the gateway, as whoever installs PocketBase does.
func (p *pocketBase) call(t *testing.T, path string, body any) map[string]any {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", p.superuser)
	return p.answer(t, req)
}

// names lists the contacts of the instance itself, past the gateway.
func (p *pocketBase) names(t *testing.T) (names []string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/api/collections/contacts/records", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", p.superuser)
	for _, item := range p.answer(t, req)["items"].([]any) {
		names = append(names, item.(map[string]any)["name"].(string))
	}
	return names
}

func (p *pocketBase) answer(t *testing.T, req *http.Request) map[string]any {
	t.Helper()
	res, err := pastTheGateway().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v, %v", req.Method, req.URL, res.Status, answer, err)
	}
	return answer
}

// pocketBaseSite puts one instance per tenant behind the gateway. PocketBase knows
// users of its own: each request gets the token of whoever is logged in.
func pocketBaseSite(instances ...*pocketBase) string {
	var upstreams, users strings.Builder
	for _, p := range instances {
		fmt.Fprintf(&upstreams, "    %s: [%q]\n", p.tenant, p.url)
		for email, file := range p.tokens {
			fmt.Fprintf(&users, "    %q: {token: \"file:%s\"}\n", p.tenant+"/"+email, file)
		}
	}
	return `
tenant:
  guard: [query.tenant, json.tenant, form.tenant]
  upstreams:
` + upstreams.String() + `
upstream_auth:
  kind: bearer
  users:
` + users.String() + `
bodies:
  - {path: "/api/collections/contacts/records/**", types: [application/json, multipart/form-data], max: 64MiB, stream: true}
resources:
  - {type: contact, path: "/api/collections/contacts/records/{id}"}
  - {type: file, path: "/api/files/**"}
  - {type: live, path: "/api/realtime", actions: {POST: read}} # subscribing changes nothing
`
}

const contacts = "/api/collections/contacts/records"

func TestPocketBaseBehindTheGateway(t *testing.T) {
	acme, globex := startPocketBase(t, "acme"), startPocketBase(t, "globex")
	g := harness.StartGateway(t, harness.Setup{Binary: binary(t), Site: pocketBaseSite(acme, globex)})
	mia, adam, victor, gabe := g.LoggedIn(t, harness.Mia), g.LoggedIn(t, harness.Adam), g.LoggedIn(t, harness.Victor), g.LoggedIn(t, harness.Gabe)
	isJSON := "Content-Type: application/json"

	var contact struct{ ID, Name, Email, Card string }
	res := mia.Do(t, "POST", contacts, `{"name":"Zoë Ångström","email":"zoe@customer.test"}`, isJSON)
	res.JSON(t, &contact)
	if res.Status != 200 || contact.ID == "" || contact.Name != "Zoë Ångström" {
		t.Fatalf("create: %d %s", res.Status, res.Body)
	}
	at := contacts + "/" + contact.ID

	t.Run("what was created can be read, listed and changed", func(t *testing.T) {
		if res := victor.Do(t, "GET", at, ""); res.Status != 200 || !strings.Contains(res.Body, "zoe@customer.test") {
			t.Errorf("read: %d %s", res.Status, res.Body)
		}
		query := url.Values{"filter": {"name ~ 'Zo'"}, "sort": {"-name"}, "perPage": {"20"}}
		if res := victor.Do(t, "GET", contacts+"?"+query.Encode(), ""); res.Status != 200 || !strings.Contains(res.Body, contact.ID) {
			t.Errorf("list: %d %s", res.Status, res.Body)
		}
		if res := mia.Do(t, "PATCH", at, `{"email":"z@customer.test"}`, isJSON); res.Status != 200 || !strings.Contains(res.Body, "z@customer.test") {
			t.Errorf("update: %d %s", res.Status, res.Body)
		}
		ev := g.Event(t, "the update", func(ev access.Event) bool { return ev.Action == access.ActionUpdate })
		if got, want := harness.Shown(ev), "acme mia@acme.test update contact/"+contact.ID+" done 200"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})

	t.Run("the creation is in the journal", func(t *testing.T) {
		ev := g.Event(t, "the creation", func(ev access.Event) bool { return ev.Action == access.ActionCreate })
		// The application chooses the id of what it creates, and tells it in its answer.
		if got, want := harness.Shown(ev), "acme mia@acme.test create contact/"+contact.ID+" done 200"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})

	t.Run("a file is uploaded as a stream, and comes back byte for byte", func(t *testing.T) {
		content := bytes.Repeat([]byte("a visiting card with \x00 and \xff in it\r\n--"), 600_000) // 24 MB
		name := upload(t, mia, at, content)
		got := mia.Send(t, mia.Request(t, "GET", "/api/files/contacts/"+contact.ID+"/"+name, nil))
		hash := sha256.New()
		if _, err := io.Copy(hash, got.Body); err != nil {
			t.Fatal(err)
		}
		want := sha256.Sum256(content)
		if got.StatusCode != 200 || hex.EncodeToString(hash.Sum(nil)) != hex.EncodeToString(want[:]) {
			t.Errorf("what comes back (%s) is not what was sent", got.Status)
		}
		ev := g.Event(t, "the upload", func(ev access.Event) bool {
			return ev.Action == access.ActionUpdate && strings.Contains(ev.Request.Route, "{id}") && ev.Request.Method == "PATCH" && ev.Status == 200
		})
		if ev.Resource.ID != contact.ID {
			t.Errorf("the journal has %q", harness.Shown(ev))
		}
	})

	t.Run("an event stream tells of a change", func(t *testing.T) {
		stream := openStream(t, mia, "/api/realtime")
		client := stream.next(t, "PB_CONNECT").id
		if res := mia.Do(t, "POST", "/api/realtime", fmt.Sprintf(`{"clientId":%q,"subscriptions":["contacts/%s"]}`, client, contact.ID), isJSON); res.Status != 204 {
			t.Fatalf("subscribe: %d %s", res.Status, res.Body)
		}
		if res := mia.Do(t, "PATCH", at, `{"name":"Zoë Streamed"}`, isJSON); res.Status != 200 {
			t.Fatalf("update: %d %s", res.Status, res.Body)
		}
		if ev := stream.next(t, "contacts/"+contact.ID); !strings.Contains(ev.data, "Zoë Streamed") {
			t.Errorf("the stream says %s", ev.data)
		}
		// It outlives a change of the configuration.
		before := reloads(t, g)
		renameInto(t, g.File, mustRead(t, g.File)+"\n# changed\n")
		harness.Eventually(t, "the configuration is reloaded", func() bool { return reloads(t, g) > before })
		if res := mia.Do(t, "PATCH", at, `{"name":"Zoë Reloaded"}`, isJSON); res.Status != 200 {
			t.Fatalf("update: %d %s", res.Status, res.Body)
		}
		if ev := stream.next(t, "contacts/"+contact.ID); !strings.Contains(ev.data, "Zoë Reloaded") {
			t.Errorf("after a reload the stream says %s", ev.data)
		}
		// Subscribing is no change: nobody needs to read about it.
		for _, ev := range g.Events(t) {
			if ev.Resource.Type == "live" {
				t.Errorf("the journal has %q", harness.Shown(ev))
			}
		}
		if res := mia.Do(t, "POST", "/.sallyport/logout", ""); res.Status != 303 {
			t.Fatalf("logout: %d %s", res.Status, res.Body)
		}
		stream.cut(t)
		mia.LogIn(t, harness.Mia)
	})

	t.Run("a viewer may not write", func(t *testing.T) {
		res := victor.Do(t, "PATCH", at, `{"name":"Mine"}`, isJSON)
		if res.Status != 403 || res.Code() != "not_permitted" {
			t.Errorf("got %d %s", res.Status, res.Body)
		}
		ev := g.Event(t, "the refusal", func(ev access.Event) bool {
			return ev.Outcome == access.Refused && ev.Actor.Email == harness.Victor.Email()
		})
		if got, want := harness.Shown(ev), "acme victor@acme.test update contact/"+contact.ID+" refused 403"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})

	t.Run("another tenant's instance cannot be reached", func(t *testing.T) {
		res := gabe.Do(t, "POST", contacts, `{"name":"Globex secret"}`, isJSON)
		var secret struct{ ID string }
		res.JSON(t, &secret)
		theirs := contacts + "/" + secret.ID
		for _, c := range []struct {
			name, method, path, body string
			header                   []string
			status                   int
			code                     string
		}{
			{"by its address", "GET", theirs, "", nil, 404, ""},
			{"by the tenant header", "GET", theirs, "", []string{"X-Tenant-ID: globex"}, 404, ""},
			{"by the tenant header in another spelling", "GET", theirs, "", []string{"X_Tenant_ID: globex"}, 404, ""},
			{"by the query", "GET", contacts + "?tenant=globex", "", nil, 403, "tenant_mismatch"},
			{"by a field", "PATCH", at, `{"name":"x","tenant":"globex"}`, []string{isJSON}, 403, "tenant_mismatch"},
			{"by the other's token", "GET", theirs, "", []string{"Authorization: " + globex.superuser}, 404, ""},
		} {
			if res := adam.Do(t, c.method, c.path, c.body, c.header...); res.Status != c.status || c.code != "" && res.Code() != c.code || strings.Contains(res.Body, "Globex secret") {
				t.Errorf("%s: %d %s, want %d %s", c.name, res.Status, res.Body, c.status, c.code)
			}
		}
		if got := strings.Join(globex.names(t), ","); got != "Globex secret" {
			t.Errorf("globex's instance holds %s", got)
		}
		if got := strings.Join(acme.names(t), ","); got != "Zoë Reloaded" {
			t.Errorf("acme's instance holds %s", got)
		}
	})

	t.Run("what is deleted is gone, and the journal knows who did it", func(t *testing.T) {
		if res := mia.Do(t, "DELETE", at, ""); res.Status != 403 { // members delete nothing
			t.Errorf("a member deletes: %d %s", res.Status, res.Body)
		}
		if res := adam.Do(t, "DELETE", at, ""); res.Status != 204 {
			t.Errorf("delete: %d %s", res.Status, res.Body)
		}
		if res := victor.Do(t, "GET", at, ""); res.Status != 404 {
			t.Errorf("read after the deletion: %d", res.Status)
		}
		ev := g.Event(t, "the deletion", func(ev access.Event) bool {
			return ev.Action == access.ActionDelete && ev.Outcome == access.Done
		})
		if got, want := harness.Shown(ev), "acme adam@acme.test delete contact/"+contact.ID+" done 204"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})

	g.Stop(t)
	// What was made: create, four updates with an upload among them, and the deletion; and globex's create.
	made := map[string]int{}
	for _, ev := range g.Events(t) {
		if ev.Outcome == access.Done && ev.Resource.Type == "contact" {
			made[ev.Tenant.String()+" "+ev.Action]++
		}
	}
	if got, want := fmt.Sprint(made), "map[acme create:1 acme delete:1 acme update:4 globex create:1]"; got != want {
		t.Errorf("the journal has %s, want %s", got, want)
	}
}

// upload sends a file in a multipart form without ever holding the form as a whole, and gives
// the name that the application keeps it under.
func upload(t *testing.T, v *harness.Visitor, at string, content []byte) string {
	t.Helper()
	reader, writer := io.Pipe()
	form := multipart.NewWriter(writer)
	go func() {
		err := form.WriteField("email", "uploaded@customer.test")
		var file io.Writer
		if err == nil {
			file, err = form.CreateFormFile("card", "card.bin")
		}
		if err == nil {
			_, err = file.Write(content)
		}
		if err == nil {
			err = form.Close()
		}
		writer.CloseWithError(err)
	}()
	res := v.Send(t, v.Request(t, "PATCH", at, reader, "Content-Type: "+form.FormDataContentType()))
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	var kept struct{ Card, Email string }
	if err := json.Unmarshal(body, &kept); err != nil || res.StatusCode != 200 || kept.Card == "" || kept.Email != "uploaded@customer.test" {
		t.Fatalf("upload: %s %s", res.Status, body)
	}
	return kept.Card
}

// stream is an open stream of server-sent events.
type stream struct {
	lines *bufio.Reader
}

type streamEvent struct{ id, name, data string }

func openStream(t *testing.T, v *harness.Visitor, path string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req := v.Request(t, "GET", path, nil, "Accept: text/event-stream").WithContext(ctx)
	res := v.Send(t, req)
	if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("the stream answers %s, %s", res.Status, res.Header.Get("Content-Type"))
	}
	return &stream{bufio.NewReader(res.Body)}
}

// next waits for an event of that name.
func (s *stream) next(t *testing.T, name string) streamEvent {
	t.Helper()
	var ev streamEvent
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended before %s: %v", name, err)
		}
		key, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch key {
		case "id":
			ev.id = value
		case "event":
			ev.name = value
		case "data":
			ev.data += value
		case "":
			if ev.name == name {
				return ev
			}
			ev = streamEvent{}
		}
	}
}

// cut demands that the stream ends although nobody here has closed it.
func (s *stream) cut(t *testing.T) {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, s.lines)
		ended <- err
	}()
	harness.Eventually(t, "the stream is cut", func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
}
