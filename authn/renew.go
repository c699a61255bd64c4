package authn

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/sallyport/sallyport/access"
)

// renewed is the outcome of presenting a refresh token: what every request that
// presented it at once gets.
type renewed struct {
	identity *access.Identity
	cookies  []*http.Cookie
	err      error
	// reused is set on the one outcome by which an old refresh token was found out.
	reused *access.Identity
}

// renewBefore is how long before its end a session token is renewed: a tenth of its
// life, at most 5 minutes.
func (s *Sessions) renewBefore() time.Duration { return min(s.access/10, 5*time.Minute) }

// renew exchanges a refresh token for the next pair of cookies. current is the identity
// of a session token that is near its end but still good, or nil: with it, a database
// that does not answer is no reason to turn anybody away.
func (s *Sessions) renew(ex *access.Exchange, token string, current *access.Identity) (*access.Identity, error) {
	site := ex.Site.Name
	presented, err := s.mac.parse(site, token)
	if err != nil {
		// No look at the database for what we never issued, and no session ends by it.
		clearCookies(ex)
		if token == "" {
			return nil, endedSession(errors.New("the session token is missing or has run out, and no refresh token came with it"))
		}
		return nil, invalidSession(err)
	}
	if current != nil && (current.SessionID != presented.session || current.Tenant != presented.tenant) {
		clearCookies(ex)
		return nil, invalidSession(errors.New("the two cookies are of different sessions"))
	}
	if ex.Route.Class != access.Portal && s.revoked.blind(s.now()) {
		return nil, s.alive(ex, &access.Identity{})
	}
	out, mine := s.renewing.do(site+"\x00"+token, func() renewed {
		return s.present(ex.Request.Context(), site, presented)
	})
	if mine && out.reused != nil {
		s.reused(ex, out.reused)
	}
	var refusal *access.Refusal
	switch {
	case out.err == nil:
		if err := s.alive(ex, out.identity); err != nil {
			return nil, err // ended while it was renewed
		}
		setCookies(ex, out.cookies...)
		return out.identity, nil
	case errors.As(out.err, &refusal) && refusal.Status != http.StatusServiceUnavailable:
		clearCookies(ex)
		return nil, out.err
	case current != nil:
		return current, nil
	}
	return nil, out.err
}

// present asks the store for the successor and makes the new cookies.
func (s *Sessions) present(ctx context.Context, site string, t refreshToken) renewed {
	now := s.now()
	record, err := ask(ctx, s, func(ctx context.Context) (Record, error) {
		return s.store.Rotate(ctx, t.tenant, Rotation{ID: t.session, Site: site, Generation: t.generation, Now: now})
	})
	switch {
	case errors.Is(err, ErrReused):
		s.renewals.Add(1, "reused")
		s.revoked.add(s.forget(), Ended{SessionID: record.ID, LoginID: record.LoginID, At: now})
		r := access.Refuse(http.StatusUnauthorized, "session_reused", "An old copy of your session was used, so the session has been ended.", "Log in again. If this was not you, tell your administrator.")
		r.Login, r.Header = true, challenge("invalid_token")
		return renewed{err: r.Because(err), reused: record.identity(now)}
	case errors.Is(err, ErrNoSession):
		s.renewals.Add(1, "ended")
		return renewed{err: endedSession(err)}
	case err != nil:
		s.renewals.Add(1, "unavailable")
		return renewed{err: access.Unavailable("sessions_unavailable", err)}
	}
	if err := s.admitted(ctx, record); err != nil {
		s.renewals.Add(1, "not_admitted")
		return renewed{err: err}
	}
	identity, cookies, err := s.issue(record)
	if err != nil {
		s.renewals.Add(1, "unavailable")
		return renewed{err: access.Unavailable("sessions_unavailable", err)}
	}
	s.renewals.Add(1, "ok")
	return renewed{identity: identity, cookies: cookies}
}

// admitted asks whether the login may still be. A refusal ends the session.
func (s *Sessions) admitted(ctx context.Context, record Record) error {
	_, err := ask(ctx, s, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.admit(ctx, record.Login) })
	var refusal *access.Refusal
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &refusal):
		return access.Unavailable("sessions_unavailable", err)
	}
	s.revoked.add(s.forget(), Ended{SessionID: record.ID, LoginID: record.LoginID})
	if err := s.revokeSurely(ctx, record.Login.Tenant, Scope{Session: record.ID}); err != nil {
		return access.Unavailable("sessions_unavailable", err)
	}
	return refusal
}

// issue makes the session token and the cookies of a record's live generation.
func (s *Sessions) issue(record Record) (*access.Identity, []*http.Cookie, error) {
	now, keys := s.now(), s.keys.Load()
	if keys == nil {
		return nil, nil, errors.New("the signing keys are not loaded")
	}
	// Whole seconds, as the token has them, so that token and cookie end together.
	expires := now.Truncate(time.Second).Add(s.access)
	capped := !expires.Before(record.Expires)
	if capped {
		expires = record.Expires // the end for good is the end of every token
	}
	token, err := s.sessionToken(record, now, expires, keys)
	if err != nil {
		return nil, nil, err
	}
	entry := s.tokens.put(token, &verified{
		identity: record.identity(expires), site: record.Site, kid: keys.signer(useSession, now).ID, expires: expires, capped: capped,
	})
	refresh := s.mac.issue(record.Site, refreshToken{record.Login.Tenant, record.ID, record.Generation})
	return entry.identity, []*http.Cookie{
		newCookie(sessionCookie, token, expires.Sub(now)),
		newCookie(refreshCookie, refresh, record.Expires.Sub(now)),
	}, nil
}

// flights lets parallel requests with one refresh token share one question.
type flights struct {
	mu   sync.Mutex
	open map[string]*flight
}

type flight struct {
	landed chan struct{}
	out    renewed
}

// do calls f, unless a call for the key is open already: then it waits for that one's
// outcome. mine says that this caller's f ran. f is bounded in time by ask.
func (g *flights) do(key string, f func() renewed) (out renewed, mine bool) {
	g.mu.Lock()
	if open, ok := g.open[key]; ok {
		g.mu.Unlock()
		<-open.landed
		return open.out, false
	}
	if g.open == nil {
		g.open = map[string]*flight{}
	}
	// Should f panic, those who wait get a refusal and not a nobody who passes.
	this := &flight{landed: make(chan struct{}), out: renewed{err: access.Unavailable("sessions_unavailable", errors.New("a renewal was cut short"))}}
	g.open[key] = this
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.open, key)
		g.mu.Unlock()
		close(this.landed)
	}()
	this.out = f()
	return this.out, true
}
