package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// open opens a database of the test's own: SQLite always, PostgreSQL in a schema of
// its own when SALLYPORT_TEST_POSTGRES holds an address.
func databases(t *testing.T, test func(t *testing.T, cfg Config)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, Config{Database: "sqlite:" + filepath.Join(t.TempDir(), "dir with ? and %41", "s.db")})
	})
	t.Run("postgresql", func(t *testing.T) {
		address := os.Getenv("SALLYPORT_TEST_POSTGRES")
		if address == "" {
			t.Skip("SALLYPORT_TEST_POSTGRES is not set")
		}
		admin := mustOpen(t, Config{Database: address})
		schema := "test_" + strings.ToLower(rand.Text())
		if _, err := admin.SQL().ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := admin.SQL().ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
				t.Error(err)
			}
		})
		join := "?"
		if strings.Contains(address, "?") {
			join = "&"
		}
		test(t, Config{Database: address + join + "search_path=" + schema})
	})
}

func mustOpen(t *testing.T, cfg Config) *DB {
	t.Helper()
	db, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func migration(version int, up string) fs.FS {
	return fstest.MapFS{fmt.Sprintf("%05d_x.sql", version): {Data: []byte("-- +goose Up\n" + up + "\n")}}
}

func TestSQLiteIsOpenedDurableAndPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "s.db")
	db := mustOpen(t, Config{Database: "sqlite:" + path})
	if _, err := db.SQL().ExecContext(t.Context(), "CREATE TABLE x (a BIGINT)"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", filepath.Base(name), info.Mode().Perm())
		}
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "trusted_schema": "0"} {
		var got string
		if err := db.SQL().QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", pragma, got, err, want)
		}
	}
	if db.Dialect() != SQLite {
		t.Errorf("the dialect is %q", db.Dialect())
	}
}

func TestSQLiteTightensTheModeOfAFileThatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, Config{Database: "sqlite:" + path})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode().Perm(), err)
	}
}

func TestOpenFailsOnWhatIsNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, database := range []string{"sqlite:" + path, "sqlite:relative", "postgres://u@127.0.0.1:1/x"} {
		if db, err := Open(t.Context(), Config{Database: database}); err == nil {
			db.Close()
			t.Errorf("%s opened", database)
		}
	}
}

func TestTransactionsThatReadThenWriteDoNotFail(t *testing.T) {
	databases(t, func(t *testing.T, cfg Config) {
		db := mustOpen(t, cfg)
		if err := db.Migrate(t.Context(), "counter", migration(1, "CREATE TABLE counter (n BIGINT NOT NULL); INSERT INTO counter VALUES (0);")); err != nil {
			t.Fatal(err)
		}
		if db.Dialect() == PostgreSQL {
			t.Skip("PostgreSQL's read committed answers this with row locks, of which nothing is promised here")
		}
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 5 {
					tx, err := db.SQL().BeginTx(t.Context(), nil)
					if err != nil {
						t.Error(err)
						return
					}
					var n int64
					if err := tx.QueryRowContext(t.Context(), "SELECT n FROM counter").Scan(&n); err != nil {
						t.Error(err)
					}
					if _, err := tx.ExecContext(t.Context(), "UPDATE counter SET n = $1", n+1); err != nil {
						t.Error(err)
					}
					if err := tx.Commit(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		var n int64
		if err := db.SQL().QueryRowContext(t.Context(), "SELECT n FROM counter").Scan(&n); err != nil || n != 40 {
			t.Errorf("counted %d, %v; want 40", n, err)
		}
	})
}

func TestMigrateKeepsOwnersApart(t *testing.T) {
	databases(t, func(t *testing.T, cfg Config) {
		db := mustOpen(t, cfg)
		one := migration(1, "CREATE TABLE one (id TEXT PRIMARY KEY, box BYTEA NOT NULL);")
		for range 2 { // the second time there is nothing to do
			if err := db.Migrate(t.Context(), "one", one); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Migrate(t.Context(), "two", migration(1, "CREATE TABLE two (id TEXT PRIMARY KEY);")); err != nil {
			t.Fatalf("another owner's version 1 was not its own: %v", err)
		}
		var box []byte
		err := db.SQL().QueryRowContext(t.Context(), "INSERT INTO one (id, box) VALUES ($1, $2) RETURNING box", "a", []byte{0, 0xff}).Scan(&box)
		if err != nil || string(box) != "\x00\xff" {
			t.Errorf("bytes come back as %x, %v", box, err)
		}
	})
}

func TestMigrateRefusesANewerDatabase(t *testing.T) {
	databases(t, func(t *testing.T, cfg Config) {
		db := mustOpen(t, cfg)
		if err := db.Migrate(t.Context(), "one", migration(7, "CREATE TABLE one (id TEXT);")); err != nil {
			t.Fatal(err)
		}
		err := db.Migrate(t.Context(), "one", migration(1, "CREATE TABLE old (id TEXT);"))
		if err == nil || !strings.Contains(err.Error(), "version 7") {
			t.Errorf("an older release migrates a newer database: %v", err)
		}
	})
}

func TestMigrateLeavesNothingOfAFailedMigration(t *testing.T) {
	databases(t, func(t *testing.T, cfg Config) {
		db := mustOpen(t, cfg)
		if err := db.Migrate(t.Context(), "one", migration(1, "CREATE TABLE one (id TEXT); SELECT nonsense;")); err == nil {
			t.Fatal("a broken migration succeeded")
		}
		if err := db.Migrate(t.Context(), "one", migration(1, "CREATE TABLE one (id TEXT);")); err != nil {
			t.Errorf("after the failure: %v", err)
		}
	})
}

func TestMigrateTakesOnlyPlainNames(t *testing.T) {
	db := mustOpen(t, Config{Database: "sqlite:" + filepath.Join(t.TempDir(), "s.db")})
	for _, owner := range []string{"", "One", "a; DROP TABLE x", "1a", strings.Repeat("a", 40)} {
		if err := db.Migrate(t.Context(), owner, fstest.MapFS{}); err == nil {
			t.Errorf("the owner %q was accepted", owner)
		}
	}
}

func TestInstancesMayMigrateAtOnce(t *testing.T) {
	databases(t, func(t *testing.T, cfg Config) {
		first, second := mustOpen(t, cfg), mustOpen(t, cfg)
		files := migration(1, "CREATE TABLE one (id TEXT);")
		if first.Dialect() == SQLite {
			second = first // a SQLite file belongs to one process
		}
		errs := make(chan error, 2)
		for _, db := range []*DB{first, second} {
			go func() { errs <- db.Migrate(context.WithoutCancel(t.Context()), "one", files) }()
		}
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}
