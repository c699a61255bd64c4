package session

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
	"github.com/sallyport/sallyport/secret"
)

// The statements on sessions. Each but the two of all tenants names tenant_id.
const (
	sqlCreate = `INSERT INTO authn_sessions (tenant_id, id, login_id, site, subject, provider, provider_session, identity, generation, created, rotated, expires, revoked)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, 0)`
	sqlFind = `SELECT login_id, site, identity, generation, created, expires, revoked FROM authn_sessions WHERE tenant_id = $1 AND id = $2`
	// One atomic update: of two that present one token, one finds it live and the
	// other finds it to be the predecessor.
	sqlRotate = `UPDATE authn_sessions SET generation = generation + 1, rotated = $5
		WHERE tenant_id = $1 AND id = $2 AND site = $3 AND generation = $4 AND revoked = 0 AND expires > $5
		RETURNING login_id, site, identity, generation, created, expires, revoked`
	sqlRevokeSession = `UPDATE authn_sessions SET revoked = $2 WHERE tenant_id = $1 AND revoked = 0 AND id = $3 RETURNING id, login_id`
	sqlRevokeLogin   = `UPDATE authn_sessions SET revoked = $2 WHERE tenant_id = $1 AND revoked = 0 AND (
			login_id IN (SELECT login_id FROM authn_sessions WHERE tenant_id = $1 AND id = $3)
			OR provider_session IN (SELECT provider_session FROM authn_sessions WHERE tenant_id = $1 AND id = $3 AND provider_session <> ''))
		RETURNING id, login_id`
	sqlRevokeSubject = `UPDATE authn_sessions SET revoked = $2 WHERE tenant_id = $1 AND revoked = 0 AND subject = $3 RETURNING id, login_id`

	sqlEndedOfAllTenants = `SELECT id, login_id, revoked FROM authn_sessions WHERE revoked > 0 AND revoked >= $1`
	sqlPruneOfAllTenants = `DELETE FROM authn_sessions WHERE expires < $1`
)

// SQL keeps sessions and keys in a database. It implements authn.Store,
// authn.Revocations and authn.KeyStore, and is safe for concurrent use.
type SQL struct {
	db     *sql.DB
	logins *secret.Sealer
	keys   *secret.Sealer
}

// New uses a database that was migrated with Migrations.
func New(db *sql.DB, master *secret.MasterKey) *SQL {
	return &SQL{db: db, logins: master.Sealer("authn/session"), keys: master.Sealer("authn/keys")}
}

// Create implements authn.Store.
func (s *SQL) Create(ctx context.Context, tenant access.TenantID, r authn.Record) error {
	if tenant.IsZero() || tenant != r.Login.Tenant {
		return fmt.Errorf("create session: its login is of tenant %q, not of %q", r.Login.Tenant, tenant)
	}
	box, err := sealLogin(s.logins, sessionRow(tenant, r.ID), r.Login)
	if err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	if _, err := s.db.ExecContext(ctx, sqlCreate, tenant.String(), r.ID, r.LoginID, r.Site, r.Login.Subject, r.Login.Provider,
		providerSession(r.Login), box, r.Generation, r.Created.UnixMicro(), r.Expires.UnixMicro()); err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	return nil
}

// Rotate implements authn.Store.
func (s *SQL) Rotate(ctx context.Context, tenant access.TenantID, r authn.Rotation) (authn.Record, error) {
	now := r.Now.UnixMicro()
	record, _, err := s.read(tenant, r.ID, s.db.QueryRowContext(ctx, sqlRotate, tenant.String(), r.ID, r.Site, r.Generation, now))
	if !errors.Is(err, authn.ErrNoSession) {
		return record, err
	}
	// It is not the live one. Which is it?
	record, revoked, err := s.read(tenant, r.ID, s.db.QueryRowContext(ctx, sqlFind, tenant.String(), r.ID))
	switch {
	case err != nil:
		return authn.Record{}, err
	case revoked || record.Site != r.Site || !r.Now.Before(record.Expires) || r.Generation >= record.Generation:
		// A generation that was never issued: the database was restored from a backup.
		return authn.Record{}, authn.ErrNoSession
	case r.Generation == record.Generation-1:
		return record, nil // the predecessor, whose successor has not been presented yet
	}
	ends, err := s.end(ctx, sqlRevokeSession, tenant, r.ID, r.Now)
	switch {
	case err != nil:
		return authn.Record{}, fmt.Errorf("end a session whose token was reused: %w", err)
	case len(ends) == 0:
		return authn.Record{}, authn.ErrNoSession // another instance was faster, and has reported it
	}
	return record, authn.ErrReused
}

// Find implements authn.Store.
func (s *SQL) Find(ctx context.Context, tenant access.TenantID, id string, now time.Time) (authn.Record, error) {
	record, revoked, err := s.read(tenant, id, s.db.QueryRowContext(ctx, sqlFind, tenant.String(), id))
	switch {
	case err != nil:
		return authn.Record{}, err
	case revoked || !now.Before(record.Expires):
		return authn.Record{}, authn.ErrNoSession
	}
	return record, nil
}

func (s *SQL) read(tenant access.TenantID, id string, row *sql.Row) (_ authn.Record, revoked bool, _ error) {
	r := authn.Record{ID: id}
	var box []byte
	var created, expires, ended int64
	switch err := row.Scan(&r.LoginID, &r.Site, &box, &r.Generation, &created, &expires, &ended); {
	case errors.Is(err, sql.ErrNoRows):
		return authn.Record{}, false, authn.ErrNoSession
	case err != nil:
		return authn.Record{}, false, fmt.Errorf("read session: %w", err)
	}
	login, err := openLogin(s.logins, sessionRow(tenant, id), tenant, box)
	if err != nil {
		return authn.Record{}, false, fmt.Errorf("read session: %w", err)
	}
	r.Created, r.Expires, r.Login = time.UnixMicro(created).UTC(), time.UnixMicro(expires).UTC(), login
	return r, ended != 0, nil
}

// Revoke implements authn.Revocations.
func (s *SQL) Revoke(ctx context.Context, tenant access.TenantID, scope authn.Scope, at time.Time) ([]authn.Ended, error) {
	var ends []authn.Ended
	var err error
	switch scope {
	case authn.Scope{Session: scope.Session}:
		ends, err = s.end(ctx, sqlRevokeSession, tenant, scope.Session, at)
	case authn.Scope{Login: scope.Login}:
		ends, err = s.end(ctx, sqlRevokeLogin, tenant, scope.Login, at)
	case authn.Scope{Subject: scope.Subject}:
		ends, err = s.end(ctx, sqlRevokeSubject, tenant, scope.Subject, at)
	default:
		err = errors.New("the scope says more than one thing")
	}
	if err != nil {
		return nil, fmt.Errorf("end sessions: %w", err)
	}
	return ends, nil
}

func (s *SQL) end(ctx context.Context, statement string, tenant access.TenantID, what string, at time.Time) ([]authn.Ended, error) {
	if tenant.IsZero() || what == "" {
		return nil, errors.New("no tenant, or nothing to end, is named")
	}
	rows, err := s.db.QueryContext(ctx, statement, tenant.String(), at.UnixMicro(), what)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ends []authn.Ended
	for rows.Next() {
		e := authn.Ended{At: at}
		if err := rows.Scan(&e.SessionID, &e.LoginID); err != nil {
			return nil, err
		}
		ends = append(ends, e)
	}
	// SQLite commits when the statement is done: until then nothing has happened.
	return ends, errors.Join(rows.Err(), rows.Close())
}

// Ended implements authn.Revocations.
func (s *SQL) Ended(ctx context.Context, since time.Time) ([]authn.Ended, error) {
	rows, err := s.db.QueryContext(ctx, sqlEndedOfAllTenants, since.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("list ended sessions: %w", err)
	}
	defer rows.Close()
	var ends []authn.Ended
	for rows.Next() {
		var e authn.Ended
		var at int64
		if err := rows.Scan(&e.SessionID, &e.LoginID, &at); err != nil {
			return nil, fmt.Errorf("list ended sessions: %w", err)
		}
		e.At = time.UnixMicro(at).UTC()
		ends = append(ends, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list ended sessions: %w", err) // half a list is none
	}
	return ends, nil
}

// Prune implements authn.Revocations.
func (s *SQL) Prune(ctx context.Context, before time.Time) error {
	if _, err := s.db.ExecContext(ctx, sqlPruneOfAllTenants, before.UnixMicro()); err != nil {
		return fmt.Errorf("delete expired sessions: %w", err)
	}
	return nil
}
