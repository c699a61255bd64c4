package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/e2e/harness"
)

// readiness is what /readyz shows.
type readiness struct {
	Ready      bool
	Config     string
	Components []struct{ Name, State, Detail string }
}

func ready(t *testing.T, g *harness.Gateway) (r readiness) {
	t.Helper()
	_, text := g.Ask(t, "/readyz")
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return readiness{}
	}
	return r
}

func (r readiness) component(name string) (state, detail string) {
	for _, c := range r.Components {
		if c.Name == name {
			return c.State, c.Detail
		}
	}
	return "", ""
}

// renameInto puts a new file in the place of an old one, as deployments do.
func renameInto(t *testing.T, file, text string) {
	t.Helper()
	next := filepath.Join(filepath.Dir(file), ".next")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// reloads counts the configurations that were taken over since the start.
func reloads(t *testing.T, g *harness.Gateway) (done int) {
	t.Helper()
	_, metrics := g.Ask(t, "/metrics")
	for line := range strings.Lines(metrics) {
		if count, ok := strings.CutPrefix(line, `sallyport_reloads_total{result="done"} `); ok {
			if _, err := fmt.Sscan(count, &done); err != nil {
				t.Fatal(err)
			}
		}
	}
	return done
}

func TestConfigurationIsReloaded(t *testing.T) {
	g, _ := startPHPSite(t)
	mia := g.LoggedIn(t, harness.Mia)
	first := mustRead(t, g.File)
	hash := ready(t, g).Config

	// serves waits for another configuration, looks that everything names it, and that mia
	// is still logged in.
	serves := func(t *testing.T, indexPage int) {
		t.Helper()
		old := hash
		harness.Eventually(t, "another configuration serves", func() bool {
			r := ready(t, g)
			state, _ := r.component("configuration")
			hash = r.Config
			return r.Ready && hash != old && state == "ok"
		})
		if _, metrics := g.Ask(t, "/metrics"); !strings.Contains(metrics, hash) || strings.Contains(metrics, old) {
			t.Errorf("the metrics do not show the hash %s alone", hash)
		}
		if !g.Logged("configuration active", hash) {
			t.Errorf("the log does not name the hash %s", hash)
		}
		if res := mia.Do(t, "GET", "/index.php", ""); res.Status != indexPage {
			t.Errorf("the page whose meaning has changed: %d %s, want %d", res.Status, res.Body, indexPage)
		}
		if res := mia.Do(t, "GET", "/", ""); res.Status != 200 || !strings.Contains(res.Body, harness.Mia.Email()) {
			t.Errorf("mia's session: %d %s", res.Status, res.Body)
		}
	}
	billing := strings.Replace(first, `{type: deal, path: "/index.php"}`, `{type: billing, path: "/index.php"}`, 1)
	if billing == first {
		t.Fatal("the configuration has no such line")
	}

	t.Run("after an atomic rename", func(t *testing.T) {
		renameInto(t, g.File, billing)
		serves(t, 403)
		renameInto(t, g.File, first)
		serves(t, 200)
	})

	t.Run("after a swap of links, as Kubernetes does it", func(t *testing.T) {
		dir := filepath.Dir(g.File)
		point := func(link, to string) {
			t.Helper()
			next := filepath.Join(dir, ".link")
			if err := os.Symlink(to, next); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(next, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		for version, text := range map[string]string{"..v1": first, "..v2": billing} {
			if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, version, "sallyport.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		point("..data", "..v1")
		point("sallyport.yaml", filepath.Join("..data", "sallyport.yaml"))
		point("..data", "..v2")
		serves(t, 403)
	})

	t.Run("a broken file changes nothing, and is told", func(t *testing.T) {
		renameInto(t, g.File, strings.Replace(first, "proxy:", "proxxy:", 1))
		var detail string
		harness.Eventually(t, "/readyz tells", func() bool {
			var state string
			state, detail = ready(t, g).component("configuration")
			return state == "degraded"
		})
		if r := ready(t, g); !r.Ready || r.Config != hash || !strings.Contains(detail, hash) {
			t.Errorf("/readyz shows %+v, want that %s goes on", r, hash)
		}
		if !g.Logged("the configuration was not reloaded; the old one goes on", hash) || !g.Logged("configuration", "proxxy", `"line":`) {
			t.Errorf("the log does not say what is wrong:\n%s", g.Stderr.String())
		}
		if _, metrics := g.Ask(t, "/metrics"); !strings.Contains(metrics, `sallyport_reloads_total{result="failed"} 1`) {
			t.Error("the failed reload is not counted")
		}
		if res := mia.Do(t, "GET", "/index.php", ""); res.Status != 403 {
			t.Errorf("the old configuration does not go on: %d", res.Status)
		}
		renameInto(t, g.File, first)
		serves(t, 200)
	})

	t.Run("SIGHUP", func(t *testing.T) {
		before := reloads(t, g)
		g.Signal(syscall.SIGHUP)
		harness.Eventually(t, "SIGHUP reloads", func() bool { return reloads(t, g) == before+1 })
		if res := mia.Do(t, "GET", "/", ""); res.Status != 200 {
			t.Errorf("mia's session: %d", res.Status)
		}
	})
	g.Stop(t)
}
