package store

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/secret"
)

// DefaultDatabase is where the database lies when the file does not say.
const DefaultDatabase = "sqlite:/var/lib/sallyport/sallyport.db"

// Config is the "store" key of the configuration.
type Config struct {
	Database  string     `yaml:"database" doc:"The database: sqlite:/absolute/path, or postgres://user@host:5432/name. Without sslmode, a PostgreSQL that is not on this machine must show a certificate that verifies (verify-full). Default sqlite:/var/lib/sallyport/sallyport.db."`
	Password  secret.Ref `yaml:"password" doc:"Where the PostgreSQL password is kept: env:NAME or file:/absolute/path. It never stands in the database's address. Default none."`
	MasterKey secret.Ref `yaml:"master_key" doc:"Where the master key is kept that seals everything at rest: env:NAME or file:/absolute/path, holding base64 of 32 random bytes (openssl rand -base64 32). Required; keep it apart from the data and its backups."`
}

// WithDefaults fills in what the file left out.
func (c Config) WithDefaults() Config {
	if c.Database == "" {
		c.Database = DefaultDatabase
	}
	return c
}

// Check reports every problem and warning. Paths are relative to the "store" key.
// The audit room's directory is not known here: see WarnKeyIn.
func (c Config) Check(problem, warn func(path, what, hint string)) {
	c = c.WithDefaults()
	if c.MasterKey.IsZero() {
		problem("master_key", "there is no master key", "make one with `openssl rand -base64 32 > /etc/sallyport/master.key` and say master_key: file:/etc/sallyport/master.key")
	}
	target, err := parseTarget(c.Database)
	if err != nil {
		problem("database", err.Error(), "want sqlite:/absolute/path or postgres://user@host:5432/name")
		return
	}
	if target.dialect == SQLite {
		if !c.Password.IsZero() {
			problem("password", "SQLite has no password", "remove it, or use a postgres:// database")
		}
		c.WarnKeyIn(filepath.Dir(target.path), warn)
		return
	}
	switch {
	case target.local || target.sslmode == "verify-full":
	case target.sslmode == "verify-ca" || target.sslmode == "require":
		warn("database", fmt.Sprintf("sslmode=%s encrypts but does not prove that the server at the other end is %s", target.sslmode, target.host), "use sslmode=verify-full, with sslrootcert=/path when the certificate is your own authority's")
	default:
		warn("database", fmt.Sprintf("sslmode=%s lets data and password travel to %s in clear text", target.sslmode, target.host), "use sslmode=verify-full")
	}
}

// WarnKeyIn warns when the master key's file lies in dir or below it: whoever copies
// the data, or its backup, would then have the key as well. Check calls it for the
// database's directory; configs calls it for the others that hold sealed data, such
// as the audit journal's.
func (c Config) WarnKeyIn(dir string, warn func(path, what, hint string)) {
	file := c.MasterKey.File()
	if file == "" || dir == "" {
		return
	}
	rel, err := filepath.Rel(filepath.Clean(dir), filepath.Clean(file))
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return
	}
	warn("master_key", fmt.Sprintf("the master key lies in %s, together with the data that it seals", dir), "keep it elsewhere, such as /etc/sallyport/master.key, and out of the data's backup")
}

// Dir is the directory of the SQLite database, or "" for PostgreSQL.
func (c Config) Dir() string {
	target, err := parseTarget(c.WithDefaults().Database)
	if err != nil || target.dialect != SQLite {
		return ""
	}
	return filepath.Dir(target.path)
}

// target is a database's address, taken apart.
type target struct {
	dialect Dialect
	path    string // SQLite: the file
	url     string // PostgreSQL: the address with port and sslmode explicit
	host    string
	local   bool // a unix socket or a loopback address
	sslmode string
}

// postgresParameters are the query parameters that an address may have. Others are
// refused: "host" would move the connection past the checks made on the address,
// "password" would put a secret into the file, "service" would read another file.
var postgresParameters = [...]string{"sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name", "search_path", "target_session_attrs"}

// parseTarget never repeats the address in an error: it could hold a password.
func parseTarget(database string) (target, error) {
	if path, ok := strings.CutPrefix(database, "sqlite:"); ok {
		if !filepath.IsAbs(path) || strings.HasSuffix(path, "/") || strings.ContainsRune(path, 0) {
			return target{}, fmt.Errorf("sqlite: wants the absolute path of a file")
		}
		return target{dialect: SQLite, path: filepath.Clean(path)}, nil
	}
	u, err := url.Parse(database)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" {
		return target{}, fmt.Errorf("not the address of a database")
	}
	return postgresTarget(u)
}

func postgresTarget(u *url.URL) (target, error) {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return target{}, fmt.Errorf("the address has a query that does not parse")
	}
	if _, set := u.User.Password(); set || q.Has("password") || q.Has("sslpassword") {
		return target{}, fmt.Errorf("a password stands in the address; say password: env:NAME or file:/path instead")
	}
	t := target{dialect: PostgreSQL, host: u.Hostname(), sslmode: q.Get("sslmode")}
	if socket := q.Get("host"); t.host == "" && filepath.IsAbs(socket) {
		t.host, t.local = socket, true
	} else if q.Has("host") {
		return target{}, fmt.Errorf("the parameter host may only name a socket's directory, with no host before it")
	}
	for name, values := range q {
		if len(values) != 1 || name != "host" && !slices.Contains(postgresParameters[:], name) {
			return target{}, fmt.Errorf("the parameter %q is unknown or stands twice", name)
		}
	}
	if t.host == "" || u.User.Username() == "" || strings.Trim(u.Path, "/") == "" {
		return target{}, fmt.Errorf("a PostgreSQL address names a user, a host and a database")
	}
	t.local = t.local || loopback(t.host)
	if t.sslmode == "" {
		// libpq's own default, "prefer", falls back to clear text when asked to.
		t.sslmode = "verify-full"
		if t.local {
			t.sslmode = "disable"
		}
	}
	if !slices.Contains([]string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}, t.sslmode) {
		return target{}, fmt.Errorf("sslmode %q is unknown", t.sslmode)
	}
	q.Set("sslmode", t.sslmode)
	full := *u
	if u.Hostname() != "" && u.Port() == "" {
		full.Host = u.Host + ":5432" // explicit, so that PGPORT cannot change it
	}
	full.RawQuery = q.Encode()
	t.url = full.String()
	return t, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}
