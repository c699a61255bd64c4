package e2e

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/e2e/harness"
)

// postgres is a cluster of its own in a temporary folder.
type postgres struct {
	*harness.Process
	port int
	bin  string
	who  *syscall.Credential // nil for ourselves
}

func startPostgres(t *testing.T) *postgres {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL is missing: run e2e/setup.sh")
	}
	p := &postgres{bin: filepath.Dir(found[len(found)-1]), port: harness.Port(t, "127.0.0.1")}
	// The server refuses to run as root, and its user must get at the folder.
	dir, err := os.MkdirTemp("", "sallyport-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		account, err := user.Lookup("postgres")
		if err != nil {
			t.Fatalf("%v: run e2e/setup.sh", err)
		}
		uid, uidErr := strconv.Atoi(account.Uid)
		gid, gidErr := strconv.Atoi(account.Gid)
		if uidErr != nil || gidErr != nil || os.Chown(dir, uid, gid) != nil {
			t.Fatalf("give %s to %+v", dir, account)
		}
		p.who = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data := filepath.Join(dir, "data")
	harness.Run(t, p.command("initdb", "-D", data, "-U", "sallyport", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"))
	p.Process = harness.Start(t, "postgres", p.command("postgres", "-D", data, "-k", dir, "-p", strconv.Itoa(p.port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"))
	p.Listening(t, fmt.Sprintf("127.0.0.1:%d", p.port))
	harness.Eventually(t, "PostgreSQL answers", func() bool { return p.psql("postgres", "SELECT 1").Run() == nil })
	return p
}

func (p *postgres) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, program), args...)
	cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Credential: p.who}, "/"
	return cmd
}

func (p *postgres) psql(database, statement string) *exec.Cmd {
	return p.command("psql", "-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-U", "sallyport", "-d", database, "-v", "ON_ERROR_STOP=1", "-Atqc", statement)
}

func (p *postgres) address(database string) string {
	return fmt.Sprintf("postgres://sallyport@127.0.0.1:%d/%s", p.port, database)
}

// The contract suites of the stores run on whatever database there is; here there is one.
func TestStoresKeepTheirContractsOnPostgreSQL(t *testing.T) {
	p := startPostgres(t)
	cmd := exec.Command("go", "test", "-count=1", "-v", "-run", "/postgresql", "./store", "./authn/session")
	cmd.Dir = filepath.Dir(harness.Root())
	cmd.Env = append(os.Environ(), "SALLYPORT_TEST_POSTGRES="+p.address("postgres"))
	out := harness.Run(t, cmd)
	for _, room := range []string{"store", "authn/session"} {
		if !strings.Contains(out, "ok  \tgithub.com/sallyport/sallyport/"+room) {
			t.Errorf("%s: %s", room, out)
		}
	}
	passed := regexp.MustCompile(`(?m)^\s*--- PASS: \S+/postgresql`).FindAllString(out, -1)
	if len(passed) < 5 || strings.Contains(out, "SALLYPORT_TEST_POSTGRES is not set") {
		t.Errorf("%d suites ran on PostgreSQL:\n%s", len(passed), out)
	}
}

func TestGatewayOnPostgreSQL(t *testing.T) {
	p := startPostgres(t)
	harness.Run(t, p.psql("postgres", "CREATE DATABASE sallyport"))
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "answered "+r.Header.Get("X-User-Email"))
	}))
	t.Cleanup(backend.Close)
	g := harness.StartGateway(t, harness.Setup{Binary: binary(t), Database: p.address("sallyport"),
		Site: fmt.Sprintf("upstreams: [%q]\nresources:\n  - {type: contact, path: \"/contacts/{id}\"}\n", backend.URL)})
	mia, adam := g.LoggedIn(t, harness.Mia), g.LoggedIn(t, harness.Adam)
	if res := mia.Do(t, "PATCH", "/contacts/7", `{"a":1}`, "Content-Type: application/json"); res.Status != 200 || res.Body != "answered mia@acme.test" {
		t.Errorf("a change: %d %s", res.Status, res.Body)
	}
	if res := adam.Do(t, "POST", "/.sallyport/logout", ""); res.Status != 303 {
		t.Errorf("logout: %d %s", res.Status, res.Body)
	}

	// Sessions, and ended ones, are in the database, and nowhere else.
	g.Stop(t)
	g.Restart(t)
	mia.Client.CloseIdleConnections()
	adam.Client.CloseIdleConnections()
	if res := mia.Do(t, "GET", "/contacts/7", ""); res.Status != 200 {
		t.Errorf("after a restart mia is %d %s", res.Status, res.Body)
	}
	if res := adam.Do(t, "GET", "/contacts/7", ""); res.Status != 401 {
		t.Errorf("after a restart adam is %d %s", res.Status, res.Body)
	}
	err := filepath.WalkDir(g.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), ".db") {
			t.Errorf("there is a file %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	// Nothing that a stolen dump shows logs anybody in, or tells who was.
	dump := harness.Run(t, p.command("pg_dump", "-h", "127.0.0.1", "-p", strconv.Itoa(p.port), "-U", "sallyport", "--data-only", "--inserts", "sallyport"))
	if !strings.Contains(dump, "INSERT INTO") {
		t.Fatalf("the dump is empty:\n%s", dump)
	}
	if strings.Contains(dump, "mia") {
		t.Errorf("the dump names mia:\n%s", dump)
	}
	for name, value := range mia.Cookies(t) {
		if len(value) > 20 && strings.Contains(dump, value) {
			t.Errorf("the dump shows the cookie %s", name)
		}
	}

	// Losing the database is not an open door.
	p.Signal(syscall.SIGQUIT) // at once, without the clients' consent
	p.Wait(t)
	harness.Eventually(t, "/readyz says that the store is down", func() bool {
		status, text := g.Ask(t, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, `"store"`)
	})
	stranger := g.NewVisitor(t)
	if res := stranger.Do(t, "GET", "/contacts/7", ""); res.Status < 400 {
		t.Errorf("a stranger without the store: %d %s", res.Status, res.Body)
	}
	harness.Eventually(t, "an instance that has lost sight of ended sessions refuses", func() bool {
		return mia.Do(t, "GET", "/contacts/7", "").Status == http.StatusServiceUnavailable
	})
	g.Stop(t)
}
