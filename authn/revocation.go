package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sallyport/sallyport/access"
)

const (
	// pollEvery is how often the list of ended sessions is read: twice within the
	// second in which every instance has to know.
	pollEvery = 500 * time.Millisecond
	// maxBlind is how old the list may be before nobody is let in.
	maxBlind = 5 * time.Second
	// overlap is read again with each poll, since ends are written by several clocks
	// and become visible in any order.
	overlap = time.Minute
	// wholeEvery is how often the whole list is read, and the keys with it.
	wholeEvery = 30 * time.Second
	// pruneEvery is how often expired sessions are deleted.
	pruneEvery = time.Hour
	// maxPending bounds the ends that wait for the database to come back.
	maxPending = 10_000
)

// revocations knows which sessions and logins have been ended while their tokens have
// not yet run out.
type revocations struct {
	mu    sync.RWMutex
	ended map[string]mark // by session id and login id
	seen  time.Time       // when the last good look at the list began; zero is never
	// pending are ends that the database does not know yet.
	pending []pendingEnd
	notify  []func(loginID string)
}

// mark is what is remembered of an id that was ended.
type mark struct {
	until time.Time // when it may be forgotten
	told  bool      // the listeners know its login
}

type pendingEnd struct {
	tenant access.TenantID
	scope  Scope
}

// has says whether the session, or its login, was ended.
func (r *revocations) has(id *access.Identity) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, session := r.ended[id.SessionID]
	_, login := r.ended[id.LoginID]
	return session || login
}

// blind says that the list is too old to let anybody in by it.
func (r *revocations) blind(now time.Time) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.seen.IsZero() || now.Sub(r.seen) > maxBlind
}

// add notes sessions as ended and tells the listeners about the logins of new ones. A
// logout by a refresh token knows its login only when the database has answered.
func (r *revocations) add(until time.Time, ends ...Ended) {
	var news []string
	r.mu.Lock()
	for _, e := range ends {
		told := r.ended[e.SessionID].told
		if !told && e.LoginID != "" {
			news, told = append(news, e.LoginID), true
		}
		r.ended[e.SessionID] = mark{until, told}
	}
	listeners := r.notify
	r.mu.Unlock()
	tell(listeners, news...)
}

// addLogin notes a whole login as ended.
func (r *revocations) addLogin(until time.Time, loginID string) {
	r.mu.Lock()
	r.ended[loginID] = mark{until, true}
	listeners := r.notify
	r.mu.Unlock()
	tell(listeners, loginID)
}

func tell(listeners []func(string), logins ...string) {
	for _, login := range logins {
		for _, f := range listeners {
			f(login)
		}
	}
}

// OnRevoke registers a function that is called with a login's id when one of its
// sessions has been ended, here or elsewhere, so that open streams can be cut. It may
// be called more than once for a login, from any goroutine, and must not block.
// Register before Run.
func (s *Sessions) OnRevoke(f func(loginID string)) {
	s.revoked.mu.Lock()
	defer s.revoked.mu.Unlock()
	s.revoked.notify = append(s.revoked.notify, f)
}

// Run keeps the keys and the list of ended sessions fresh until ctx ends. A failure
// is reported and tried again: the list ages meanwhile, and closes the gate.
func (s *Sessions) Run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if err := s.Sync(ctx); err != nil && ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelError, "sessions are out of sight", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Sync looks once at everything that Run keeps fresh. Call it before the first
// request, so that an instance does not begin by refusing.
func (s *Sessions) Sync(ctx context.Context) error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	err := errors.Join(s.syncKeys(ctx), s.syncEnded(ctx))
	if err == nil {
		s.prune(ctx)
	}
	s.health.Report("sessions", true, err)
	return err
}

func (s *Sessions) syncKeys(ctx context.Context) error {
	now := s.now()
	if s.keys.Load() != nil && now.Sub(s.keysRead) < wholeEvery {
		return nil
	}
	_, err := ask(ctx, s, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.loadKeys(ctx) })
	if err == nil {
		s.keysRead = now
	}
	return err
}

func (s *Sessions) syncEnded(ctx context.Context) error {
	// An end that cannot be written must not hide the ones that others wrote.
	return errors.Join(s.writePending(ctx), s.readEnded(ctx))
}

func (s *Sessions) readEnded(ctx context.Context) error {
	now := s.now()
	memory := s.access + leeway + overlap // no token of an ended session is older
	since, whole := now.Add(-overlap), now.Sub(s.wholeRead) >= wholeEvery
	if whole {
		since = now.Add(-memory)
	}
	ends, err := ask(ctx, s, func(ctx context.Context) ([]Ended, error) { return s.ends.Ended(ctx, since) })
	if err != nil {
		return fmt.Errorf("read the ended sessions: %w", err)
	}
	s.revoked.add(now.Add(memory), ends...)
	s.revoked.mu.Lock()
	s.revoked.seen = now
	if whole {
		s.wholeRead = now
		for id, m := range s.revoked.ended {
			if now.After(m.until) {
				delete(s.revoked.ended, id)
			}
		}
	}
	s.revoked.mu.Unlock()
	return nil
}

// prune deletes what expired a day ago or earlier. A failure is no reason to hammer:
// the rows wait for the next hour.
func (s *Sessions) prune(ctx context.Context) {
	now := s.now()
	if now.Sub(s.pruned) < pruneEvery {
		return
	}
	s.pruned = now
	if _, err := ask(ctx, s, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.ends.Prune(ctx, now.Add(-24*time.Hour))
	}); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "expired sessions were not deleted", slog.Any("error", err))
	}
}

// revoke ends the sessions of a scope in the database, and here.
func (s *Sessions) revoke(ctx context.Context, tenant access.TenantID, scope Scope) error {
	at := s.now()
	ends, err := ask(ctx, s, func(ctx context.Context) ([]Ended, error) { return s.ends.Revoke(ctx, tenant, scope, at) })
	if err != nil {
		return err
	}
	s.revoked.add(s.forget(), ends...)
	return nil
}

// revokeSurely is revoke for a logout, which always proceeds: what the database
// cannot take now is kept and written when it is back. Until then the other instances
// do not see the database either, and let nobody in.
func (s *Sessions) revokeSurely(ctx context.Context, tenant access.TenantID, scope Scope) error {
	err := s.revoke(ctx, tenant, scope)
	if err == nil {
		return nil
	}
	s.revoked.mu.Lock()
	defer s.revoked.mu.Unlock()
	if len(s.revoked.pending) >= maxPending {
		return fmt.Errorf("end a session: %w; %d ends wait already", err, maxPending)
	}
	s.revoked.pending = append(s.revoked.pending, pendingEnd{tenant, scope})
	s.log.LogAttrs(ctx, slog.LevelError, "a logout waits for the database", slog.String("tenant", tenant.String()), slog.Any("error", err))
	return nil
}

// writePending writes the ends that wait, the oldest first.
func (s *Sessions) writePending(ctx context.Context) error {
	for {
		s.revoked.mu.RLock()
		waiting := len(s.revoked.pending) > 0
		var p pendingEnd
		if waiting {
			p = s.revoked.pending[0]
		}
		s.revoked.mu.RUnlock()
		if !waiting {
			return nil
		}
		// Ended from now on, not from then: the other instances look back only a minute.
		if err := s.revoke(ctx, p.tenant, p.scope); err != nil {
			return fmt.Errorf("write a logout that waits: %w", err)
		}
		s.revoked.mu.Lock()
		s.revoked.pending = s.revoked.pending[1:] // only this function takes any away
		s.revoked.mu.Unlock()
	}
}

// forget is when an id that is ended now may be forgotten.
func (s *Sessions) forget() time.Time { return s.now().Add(s.access + leeway + overlap) }
