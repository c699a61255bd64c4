package store

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Migrate brings one owner's tables to the newest version: files such as
// 00001_sessions.sql at the root of files, in goose's format. Each owner counts its
// versions in a table of its own, so that rooms migrate without knowing each other.
// Instances that start at once wait for one another. A database that a newer release
// has migrated is refused: an older one would misread it.
func (d *DB) Migrate(ctx context.Context, owner string, files fs.FS) error {
	if !regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`).MatchString(owner) {
		return fmt.Errorf("migrate: %q is not the name of an owner", owner)
	}
	d.migrating.Lock()
	defer d.migrating.Unlock()

	options := []goose.ProviderOption{
		goose.WithTableName("migrations_" + owner),
		goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)), // the process-wide logger is not ours to write to
	}
	dialect := goose.DialectSQLite3
	if d.dialect == PostgreSQL {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return fmt.Errorf("migrate %s: %w", owner, err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(dialect, d.sql, files, options...)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", owner, err)
	}
	// The provider is not closed: that would close the pool.
	have, newest, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", owner, err)
	}
	if have > newest {
		return fmt.Errorf("migrate %s: the database is at version %d and this release knows %d: run the newer release, or restore a backup", owner, have, newest)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate %s: %w", owner, err)
	}
	return nil
}
