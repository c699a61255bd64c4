package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/secret"
)

// Begin makes the session of a login that was just proved, on the exchange's site. It
// sets ex.SetCookies and ex.Identity. The ids are new, whatever the browser brought
// along (no fixation), and an older session of this browser on this site is ended.
//
// Direction of failure: closed. Without a database there is no login (503).
func (s *Sessions) Begin(ctx context.Context, ex *access.Exchange, login Login) error {
	if ex.Site == nil || ex.Site.Name == "" {
		return access.Unavailable("site_unknown", errors.New("begin a session: the request was not located"))
	}
	for _, older := range s.brought(ex) {
		if err := s.revoke(ctx, older.Tenant, Scope{Session: older.SessionID}); err != nil {
			return access.Unavailable("sessions_unavailable", err)
		}
	}
	record, err := s.create(ctx, ex.Site.Name, login, s.refresh)
	if err != nil {
		return err
	}
	identity, cookies, err := s.issue(record)
	if err != nil {
		return access.Unavailable("sessions_unavailable", err)
	}
	setCookies(ex, cookies...)
	ex.Identity = identity
	return nil
}

// Issue makes a session for a program and gives its token, to be sent as a bearer. The
// session ends with the token: there is nothing to renew it by. No address of the
// gateway hands such a token out; this is for tools that run beside the database, whose
// operator answers for the login.
func (s *Sessions) Issue(ctx context.Context, site *access.Site, login Login) (secret.String, error) {
	if site == nil || site.Name == "" {
		return secret.String{}, errors.New("issue a token: no site is named")
	}
	record, err := s.create(ctx, site.Name, login, s.access)
	if err != nil {
		return secret.String{}, err
	}
	_, cookies, err := s.issue(record)
	if err != nil {
		return secret.String{}, fmt.Errorf("issue a token: %w", err)
	}
	return secret.New(cookies[0].Value), nil
}

func (s *Sessions) create(ctx context.Context, site string, login Login, life time.Duration) (Record, error) {
	now := s.now()
	login, err := login.admissible(now)
	if err != nil {
		return Record{}, access.Refuse(http.StatusForbidden, "login_unusable", "Your identity provider described you in a way that the gateway cannot use.", "Tell your administrator the request id.").Because(err)
	}
	record := Record{ID: newID(), LoginID: newID(), Site: site, Created: now, Expires: now.Truncate(time.Second).Add(life), Login: login}
	var refusal *access.Refusal
	_, err = ask(ctx, s, func(ctx context.Context) (struct{}, error) {
		if err := s.admit(ctx, login); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.store.Create(ctx, login.Tenant, record)
	})
	switch {
	case errors.As(err, &refusal):
		return Record{}, refusal
	case err != nil:
		return Record{}, access.Unavailable("sessions_unavailable", fmt.Errorf("begin a session: %w", err))
	}
	return record, nil
}

// End ends the login that the exchange belongs to: this session, the login's others on
// other sites, and those of the same session at the identity provider. It takes effect
// here with the next request, and within a second elsewhere. The browser's cookies are
// cleared in any case, and ex.Identity stays, for the audit log.
//
// Direction of failure: a logout proceeds. If the database does not answer, the session
// is ended here at once and in the database when it is back; an error means that even
// that could not be promised.
func (s *Sessions) End(ctx context.Context, ex *access.Exchange) error {
	clearCookies(ex)
	var errs []error
	for _, id := range s.brought(ex) {
		s.revoked.add(s.forget(), Ended{SessionID: id.SessionID, LoginID: id.LoginID})
		if id.LoginID != "" {
			s.revoked.addLogin(s.forget(), id.LoginID)
		}
		errs = append(errs, s.revokeSurely(ctx, id.Tenant, Scope{Login: id.SessionID}))
	}
	if err := errors.Join(errs...); err != nil {
		return access.Unavailable("sessions_unavailable", err)
	}
	return nil
}

// EndSubject ends every session of a user: for a user who was disabled, or who has
// lost a device. Unlike End it fails when the database does not answer, since which
// sessions those are is known nowhere else.
func (s *Sessions) EndSubject(ctx context.Context, tenant access.TenantID, subject string) error {
	if tenant.IsZero() || subject == "" {
		return errors.New("end a user's sessions: no tenant or no subject is named")
	}
	if err := s.revoke(ctx, tenant, Scope{Subject: subject}); err != nil {
		return fmt.Errorf("end a user's sessions: %w", err)
	}
	return nil
}

// LogoutHint gives the ID token that the exchange's session began with, for a logout at
// the identity provider (OpenID Connect RP-Initiated Logout 1.0, section 2). It is empty
// when there is none or it cannot be had: the logout there then asks the user.
func (s *Sessions) LogoutHint(ctx context.Context, ex *access.Exchange) secret.String {
	if ex.Identity == nil {
		return secret.String{}
	}
	record, err := ask(ctx, s, func(ctx context.Context) (Record, error) {
		return s.store.Find(ctx, ex.Identity.Tenant, ex.Identity.SessionID, s.now())
	})
	if err != nil {
		return secret.String{}
	}
	return record.Login.IDToken
}

// brought lists the sessions that a Portal request came with: the one it was
// authenticated by, and the one of its refresh token, which outlives the other. Of the
// latter only tenant and session are known.
func (s *Sessions) brought(ex *access.Exchange) []*access.Identity {
	var list []*access.Identity
	if ex.Identity != nil {
		list = append(list, ex.Identity)
	}
	if c := readCookies(ex.Request.Header); !c.repeated && ex.Site != nil {
		t, err := s.mac.parse(ex.Site.Name, c.refresh)
		if err == nil && (ex.Identity == nil || ex.Identity.SessionID != t.session) {
			list = append(list, &access.Identity{Tenant: t.tenant, SessionID: t.session})
		}
	}
	return list
}
