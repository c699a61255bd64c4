package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"
)

// Dialect is which database it is. Owners write one SQL text for both; the dialect
// is for the few things that differ, such as text search.
type Dialect string

// The dialects.
const (
	SQLite     Dialect = "sqlite"
	PostgreSQL Dialect = "postgresql"
)

// connectTimeout bounds the first connection and its pragmas.
const connectTimeout = 10 * time.Second

// DB is the opened database. Its sql.DB is safe for concurrent use.
type DB struct {
	sql     *sql.DB
	dialect Dialect
	// migrating keeps two owners of this process from migrating at once, which
	// SQLite would answer with "database is locked".
	migrating sync.Mutex
}

// Open opens the database and makes sure that it answers. A SQLite file is made when
// it is missing, with its directory; it is readable by this user alone.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	target, err := parseTarget(cfg.WithDefaults().Database)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	var pool *sql.DB
	if target.dialect == SQLite {
		pool, err = openSQLite(target.path)
	} else {
		pool, err = openPostgres(target, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), pool.Close())
	}
	return &DB{sql: pool, dialect: target.dialect}, nil
}

// SQL is the connection pool.
func (d *DB) SQL() *sql.DB { return d.sql }

// Dialect says which database it is.
func (d *DB) Dialect() Dialect { return d.dialect }

// Ping asks the database for a sign of life.
func (d *DB) Ping(ctx context.Context) error { return d.sql.PingContext(ctx) }

// Close closes the pool. SQLite folds its write-ahead log back into the file.
func (d *DB) Close() error { return d.sql.Close() }

func openSQLite(path string) (*sql.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	// Made before SQLite would make it with the mode that umask leaves. The
	// write-ahead log and its index inherit the mode of the database.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return nil, err
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{
		"_pragma": {
			"busy_timeout(5000)", // milliseconds: writers wait for one another
			"journal_mode(WAL)",  // readers do not wait for writers
			"synchronous(FULL)",  // what was committed survives a power cut
			"foreign_keys(1)",
			"trusted_schema(0)",
		},
		// A transaction takes the write lock at its start; one that upgrades later
		// would fail at once when another has written, without waiting.
		"_txlock": {"immediate"},
		"_dqs":    {"0"},
	}.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(8)
	pool.SetMaxIdleConns(8)
	return pool, nil
}

func openPostgres(target target, cfg Config) (*sql.DB, error) {
	parsed, err := pgx.ParseConfig(target.url)
	if err != nil {
		return nil, errors.New("the PostgreSQL address, or a certificate file that it names, does not parse")
	}
	// Always set, so that PGPASSWORD and ~/.pgpass never decide.
	parsed.Password = ""
	if !cfg.Password.IsZero() {
		password, err := cfg.Password.Resolve()
		if err != nil {
			return nil, err
		}
		parsed.Password = password.Reveal()
	}
	if parsed.RuntimeParams["application_name"] == "" {
		parsed.RuntimeParams["application_name"] = "sallyport"
	}
	pool := stdlib.OpenDB(*parsed)
	pool.SetMaxOpenConns(16)
	pool.SetMaxIdleConns(16)
	pool.SetConnMaxLifetime(30 * time.Minute)
	return pool, nil
}
