package store

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/secret"
)

func ref(t *testing.T, text string) secret.Ref {
	t.Helper()
	r, err := secret.ParseRef(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCheckReportsAllProblemsAndWarnings(t *testing.T) {
	away := ref(t, "file:/etc/sallyport/master.key")
	for _, c := range []struct {
		name           string
		config         Config
		problems, warn string // the paths reported, joined
	}{
		{"the default with a key elsewhere is well", Config{MasterKey: away}, "", ""},
		{"no master key", Config{}, "master_key", ""},
		{"a key beside the database", Config{MasterKey: ref(t, "file:/var/lib/sallyport/master.key")}, "", "master_key"},
		{"a key below the database's directory", Config{MasterKey: ref(t, "file:/var/lib/sallyport/keys/../keys/k")}, "", "master_key"},
		{"a key in a directory whose name only begins alike", Config{MasterKey: ref(t, "file:/var/lib/sallyport-keys/k")}, "", ""},
		{"a key in the environment", Config{MasterKey: ref(t, "env:KEY")}, "", ""},
		{"a relative path, and no key: both are told", Config{Database: "sqlite:data.db"}, "master_key database", ""},
		{"a directory", Config{Database: "sqlite:/var/lib/", MasterKey: away}, "database", ""},
		{"another database", Config{Database: "mysql://u@h/db", MasterKey: away}, "database", ""},
		{"a password for SQLite", Config{Database: "sqlite:/a/b", MasterKey: away, Password: ref(t, "env:P")}, "password", ""},
		{"a password in the address", Config{Database: "postgres://u:hunter2@db/x", MasterKey: away}, "database", ""},
		{"a password in the query", Config{Database: "postgres://u@db/x?password=hunter2", MasterKey: away}, "database", ""},
		{"a host that the query would change", Config{Database: "postgres://u@localhost/x?host=evil.test", MasterKey: away}, "database", ""},
		{"a service file", Config{Database: "postgres://u@localhost/x?service=prod", MasterKey: away}, "database", ""},
		{"a parameter that stands twice", Config{Database: "postgres://u@db/x?sslmode=verify-full&sslmode=disable", MasterKey: away}, "database", ""},
		{"no user", Config{Database: "postgres://db/x", MasterKey: away}, "database", ""},
		{"no database", Config{Database: "postgres://u@db/", MasterKey: away}, "database", ""},
		{"an unknown sslmode", Config{Database: "postgres://u@db/x?sslmode=yes", MasterKey: away}, "database", ""},
		{"far away without sslmode is verified", Config{Database: "postgres://u@db.example/x", MasterKey: away}, "", ""},
		{"far away in clear", Config{Database: "postgres://u@db.example/x?sslmode=disable", MasterKey: away}, "", "database"},
		{"far away, clear when asked", Config{Database: "postgres://u@db.example/x?sslmode=prefer", MasterKey: away}, "", "database"},
		{"far away, unverified", Config{Database: "postgres://u@db.example/x?sslmode=require", MasterKey: away}, "", "database"},
		{"loopback in clear", Config{Database: "postgres://u@127.0.0.1:5433/x?sslmode=disable", MasterKey: away}, "", ""},
		{"a socket", Config{Database: "postgres://u@/x?host=/run/postgresql", MasterKey: away}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var problems, warnings []string
			note := func(list *[]string) func(path, what, hint string) {
				return func(path, what, hint string) {
					*list = append(*list, path)
					if what == "" || hint == "" {
						t.Errorf("%s: what %q, hint %q: both must say something", path, what, hint)
					}
					if strings.Contains(what+hint, "hunter2") {
						t.Errorf("%s repeats the password: %s; %s", path, what, hint)
					}
				}
			}
			c.config.Check(note(&problems), note(&warnings))
			if got := strings.Join(problems, " "); got != c.problems {
				t.Errorf("problems at %q, want %q", got, c.problems)
			}
			if got := strings.Join(warnings, " "); got != c.warn {
				t.Errorf("warnings at %q, want %q", got, c.warn)
			}
		})
	}
}

func TestPostgresAddressIsExplicit(t *testing.T) {
	for _, c := range []struct{ address, want string }{
		{"postgres://u@db.example/x", "postgres://u@db.example:5432/x?sslmode=verify-full"},
		{"postgres://u@localhost/x", "postgres://u@localhost:5432/x?sslmode=disable"},
		{"postgresql://u@[::1]:6000/x", "postgresql://u@[::1]:6000/x?sslmode=disable"},
		{"postgres://u@db/x?sslmode=require", "postgres://u@db:5432/x?sslmode=require"},
	} {
		got, err := parseTarget(c.address)
		if err != nil || got.url != c.want {
			t.Errorf("%s becomes %q, %v; want %q", c.address, got.url, err, c.want)
		}
	}
}

func TestDirIsTheDatabasesDirectory(t *testing.T) {
	if got := (Config{}).Dir(); got != "/var/lib/sallyport" {
		t.Errorf("default: %q", got)
	}
	if got := (Config{Database: "postgres://u@db/x"}).Dir(); got != "" {
		t.Errorf("PostgreSQL has the directory %q", got)
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"sqlite:/a", "postgres://u@h/d", "postgres://u:p@h/d", "postgres://u@/d?host=/run", "postgres://u@h:1,h2:2/d", "postgres://%zz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := parseTarget(s)
		if err != nil {
			return
		}
		if target.dialect == SQLite && target.path == "" || target.dialect == PostgreSQL && (target.sslmode == "" || !strings.Contains(target.url, "sslmode="+target.sslmode)) {
			t.Errorf("%q gives the unfinished target %+v", s, target)
		}
	})
}
