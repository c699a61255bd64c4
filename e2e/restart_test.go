package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/audit"
	"github.com/sallyport/sallyport/e2e/harness"
)

// slowBackend answers at once, but for POSTs, which wait until they are let go.
type slowBackend struct {
	url      string
	arrived  chan string // a POST's path
	letGo    chan struct{}
	finished chan struct{}
}

func startSlowBackend(t *testing.T) *slowBackend {
	t.Helper()
	b := &slowBackend{arrived: make(chan string, 10), letGo: make(chan struct{}), finished: make(chan struct{}, 10)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server see the client go
			b.arrived <- r.URL.Path
			select {
			case <-b.letGo:
			case <-r.Context().Done():
			}
			b.finished <- struct{}{}
		}
		io.WriteString(w, "answered "+r.Header.Get("X-User-Email"))
	}))
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

func (b *slowBackend) site() string {
	return fmt.Sprintf("upstreams: [%q]\nresources:\n  - {type: contact, path: \"/contacts/{id}\"}\n", b.url)
}

// post begins a change, and waits until it is at the backend.
func (b *slowBackend) post(t *testing.T, v *harness.Visitor, path string) <-chan string {
	t.Helper()
	req := v.Request(t, "POST", path, strings.NewReader(`{"a":1}`), "Content-Type: application/json")
	answered := make(chan string, 1)
	go func() {
		res, err := v.Client.Do(req)
		if err != nil {
			answered <- "failed"
			return
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		answered <- fmt.Sprint(res.StatusCode, " ", string(text), " ", err)
	}()
	select {
	case <-b.arrived:
	case got := <-answered:
		t.Fatalf("the change did not get to the backend: %s", got)
	}
	return answered
}

func TestSIGTERMLetsRequestsFinish(t *testing.T) {
	b := startSlowBackend(t)
	g := harness.StartGateway(t, harness.Setup{Binary: binary(t), Site: b.site()})
	mia := g.LoggedIn(t, harness.Mia)
	answered := b.post(t, mia, "/contacts/7")
	g.Signal(syscall.SIGTERM)
	address := strings.Replace(strings.TrimPrefix(g.URL, "https://"), harness.Host, "127.0.0.1", 1)
	harness.Eventually(t, "no new connection is taken", func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if status, text := g.Ask(t, "/readyz"); status == 200 {
		t.Errorf("/readyz says %s while draining", text)
	}
	select {
	case got := <-answered:
		t.Fatalf("the request ended before its time: %s", got)
	default:
	}
	close(b.letGo)
	if got := <-answered; got != "200 answered mia@acme.test <nil>" {
		t.Errorf("the request under way got %q", got)
	}
	if code := g.Wait(t); code != 0 {
		t.Errorf("the gateway ended with %d", code)
	}
	last := ""
	for _, ev := range g.Events(t) {
		last = harness.Shown(ev)
	}
	if want := "acme mia@acme.test update contact/7 done 200"; last != want {
		t.Errorf("the journal ends with %q, want %q", last, want)
	}
}

func TestKillAndRestart(t *testing.T) {
	b := startSlowBackend(t)
	defer close(b.letGo)
	g := harness.StartGateway(t, harness.Setup{Binary: binary(t), Site: b.site()})
	mia, adam := g.LoggedIn(t, harness.Mia), g.LoggedIn(t, harness.Adam)
	if res := adam.Do(t, "POST", "/.sallyport/logout", ""); res.Status != 303 {
		t.Fatalf("logout: %d %s", res.Status, res.Body)
	}
	before := fmt.Sprint(mia.Cookies(t))

	for round := range 3 {
		path := fmt.Sprintf("/contacts/%d", round)
		answered := b.post(t, mia, path)
		g.Kill(t)
		if got := <-answered; strings.HasPrefix(got, "200") {
			t.Fatalf("a gateway that was killed answered %q", got)
		}
		<-b.finished
		mia.Client.CloseIdleConnections()
		g.Restart(t)

		if res := mia.Do(t, "GET", "/contacts", ""); res.Status != 200 || res.Body != "answered mia@acme.test" {
			t.Fatalf("round %d: mia's session: %d %s", round, res.Status, res.Body)
		}
		if res := adam.Do(t, "GET", "/contacts", ""); res.Status != 401 {
			t.Fatalf("round %d: adam's ended session: %d %s", round, res.Status, res.Body)
		}
		// What was under way when the power failed is in the journal, and unknown.
		var found []string
		for _, ev := range g.Events(t) {
			if ev.Request.Path == path {
				found = append(found, string(ev.Outcome))
			}
		}
		if got := strings.Join(found, ","); got != string(access.Intended) {
			t.Errorf("round %d: the journal has %q for it", round, got)
		}
	}
	if after := fmt.Sprint(mia.Cookies(t)); after != before { // she never had to log in again
		t.Errorf("mia's cookies were %s, and are %s", before, after)
	}
	g.Stop(t)
	if report, err := audit.Verify(g.Dir + "/audit"); err != nil {
		t.Errorf("the journal does not verify: %v %+v", err, report)
	}
}
