package session

import (
	"context"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/authn"
)

// The statements on signing keys, which belong to no tenant.
const (
	sqlKeys   = `SELECT id, purpose, generation, seed, created, active_from FROM authn_keys WHERE environment = $1 ORDER BY purpose, generation`
	sqlAddKey = `INSERT INTO authn_keys (environment, purpose, generation, id, seed, created, active_from) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (environment, purpose, generation) DO NOTHING`
	sqlDropKey = `DELETE FROM authn_keys WHERE environment = $1 AND id = $2`
)

// Keys implements authn.KeyStore. One key that does not open is an error for all: to
// sign with a new one in silence would throw everybody out.
func (s *SQL) Keys(ctx context.Context, environment string) ([]authn.Key, error) {
	rows, err := s.db.QueryContext(ctx, sqlKeys, environment)
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	defer rows.Close()
	var keys []authn.Key
	for rows.Next() {
		k := authn.Key{Environment: environment}
		var box []byte
		var created, active int64
		if err := rows.Scan(&k.ID, &k.Purpose, &k.Generation, &box, &created, &active); err != nil {
			return nil, fmt.Errorf("read keys: %w", err)
		}
		if k.Seed, err = s.keys.Open(box, keyRow(environment, k.Purpose, k.ID)); err != nil {
			return nil, fmt.Errorf("read key %s of the table authn_keys: %w", k.ID, err)
		}
		k.Created, k.ActiveFrom = time.UnixMicro(created).UTC(), time.UnixMicro(active).UTC()
		keys = append(keys, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return keys, nil
}

// AddKey implements authn.KeyStore.
func (s *SQL) AddKey(ctx context.Context, k authn.Key) error {
	box := s.keys.Seal(k.Seed, keyRow(k.Environment, k.Purpose, k.ID))
	if _, err := s.db.ExecContext(ctx, sqlAddKey, k.Environment, k.Purpose, k.Generation, k.ID, box, k.Created.UnixMicro(), k.ActiveFrom.UnixMicro()); err != nil {
		return fmt.Errorf("add a key: %w", err)
	}
	return nil
}

// DropKey implements authn.KeyStore.
func (s *SQL) DropKey(ctx context.Context, environment, id string) error {
	if _, err := s.db.ExecContext(ctx, sqlDropKey, environment, id); err != nil {
		return fmt.Errorf("drop a key: %w", err)
	}
	return nil
}
