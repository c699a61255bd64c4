package oidc

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	library "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// How long a discovery document is fresh, and how long it is used when the provider does
// not give a new one. Its keys have a shorter life of their own.
const (
	metadataLife  = time.Hour
	metadataStale = 24 * time.Hour
)

// metadata is what we use of a discovery document (OpenID Connect Discovery 1.0, section 3).
type metadata struct {
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	JWKS          string   `json:"jwks_uri"`
	UserInfo      string   `json:"userinfo_endpoint"`
	EndSession    string   `json:"end_session_endpoint"`
	TokenAuth     []string `json:"token_endpoint_auth_methods_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	SendsIss      bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207

	algorithms []string // those of Algorithms that we accept
}

// issuer is one provider as the network knows it. It lives in the Runtime and is shared by
// all clients of that issuer with the same network settings. At most one call at a
// time is made for it, and after a failure none for retryAfter.
type issuer struct {
	url    string
	client *http.Client
	now    func() time.Time
	log    *slog.Logger
	count  func(what string, err error)

	turn chan struct{} // holds one token: the right to call

	mu        sync.Mutex
	meta      *metadata
	metaAt    time.Time
	metaTried time.Time
	metaErr   error
	keys      []jose.JSONWebKey
	keysAt    time.Time
	keysTried time.Time
	keysErr   error
}

func newIssuer(url string, client *http.Client, now func() time.Time, log *slog.Logger, count func(string, error)) *issuer {
	i := &issuer{url: url, client: client, now: now, log: log, count: count, turn: make(chan struct{}, 1)}
	i.turn <- struct{}{}
	return i
}

// alone runs a call while no other one runs. It does not inherit the caller's
// cancellation once begun, because others wait for its result; the client bounds it.
func (i *issuer) alone(ctx context.Context, call func(ctx context.Context)) error {
	select {
	case <-i.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { i.turn <- struct{}{} }()
	call(context.WithoutCancel(ctx))
	return nil
}

// metadata gives the discovery document: a fresh one, or an old one when the provider
// does not answer. An error means that there is none.
func (i *issuer) metadata(ctx context.Context) (*metadata, error) {
	if meta, _ := i.knownMetadata(false); meta != nil {
		return meta, nil
	}
	err := i.alone(ctx, func(ctx context.Context) {
		if meta, tried := i.knownMetadata(false); meta != nil || tried {
			return // somebody else asked while we waited
		}
		meta, err := i.discover(ctx)
		i.count("discovery", err)
		i.mu.Lock()
		defer i.mu.Unlock()
		i.metaTried, i.metaErr = i.now(), err
		if err == nil {
			i.meta, i.metaAt = meta, i.now()
		} else {
			i.log.WarnContext(ctx, "discovery failed", "issuer", i.url, "error", err)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("wait for the discovery of %s: %w", i.url, err)
	}
	if meta, _ := i.knownMetadata(true); meta != nil {
		return meta, nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return nil, fmt.Errorf("discover %s: %w", i.url, i.metaErr)
}

// knownMetadata gives what is cached and fresh (or stale, if that will do), and whether a
// failure is too young to try again.
func (i *issuer) knownMetadata(stale bool) (meta *metadata, tried bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now, life := i.now(), metadataLife
	if stale {
		life = metadataStale
	}
	if i.meta != nil && now.Sub(i.metaAt) < life {
		meta = i.meta
	}
	return meta, i.metaErr != nil && now.Sub(i.metaTried) < retryAfter
}

func (i *issuer) discover(ctx context.Context) (*metadata, error) {
	found, err := library.NewProvider(library.ClientContext(ctx, i.client), i.url) // compares the issuer exactly
	if err != nil {
		return nil, clip(err)
	}
	meta := new(metadata)
	if err := found.Claims(meta); err != nil {
		return nil, clip(err)
	}
	for name, url := range map[string]string{"authorization_endpoint": meta.Authorization, "token_endpoint": meta.Token, "jwks_uri": meta.JWKS} {
		if !webURL(url) {
			return nil, fmt.Errorf("its %s %.200q is not an https URL", name, url)
		}
	}
	if meta.UserInfo != "" && !webURL(meta.UserInfo) || meta.EndSession != "" && !webURL(meta.EndSession) {
		return nil, fmt.Errorf("its userinfo_endpoint or end_session_endpoint is not an https URL")
	}
	for _, a := range algorithms() {
		if len(meta.Algorithms) == 0 || slices.Contains(meta.Algorithms, a) {
			meta.algorithms = append(meta.algorithms, a)
		}
	}
	if len(meta.algorithms) == 0 {
		return nil, fmt.Errorf("it signs with none of the algorithms that are accepted (%v)", algorithms())
	}
	return meta, nil
}

// tryKeys tries the cached keys and, if none does, once more with newly fetched ones,
// within the limits of how often we ask.
func (i *issuer) tryKeys(ctx context.Context, url string, try func([]jose.JSONWebKey) bool) error {
	keys, at, _ := i.knownKeys()
	if keys != nil && try(keys) {
		return nil
	}
	err := i.alone(ctx, func(ctx context.Context) {
		if _, now, mayAsk := i.knownKeys(); now.After(at) || !mayAsk {
			return
		}
		i.fetchKeys(ctx, url)
	})
	if err != nil {
		return fmt.Errorf("wait for the keys of %s: %w", i.url, err)
	}
	again, newer, _ := i.knownKeys()
	switch {
	case again == nil: // too old and not renewed: closed
		i.mu.Lock()
		defer i.mu.Unlock()
		return &unavailableError{fmt.Errorf("fetch the keys of %s: %w", i.url, i.keysErr)}
	case newer.After(at) && try(again):
		return nil
	}
	return errUnknownKey
}

// knownKeys gives the keys while they are believed, when they were fetched, and whether we may ask
// for them again.
func (i *issuer) knownKeys() (keys []jose.JSONWebKey, at time.Time, mayAsk bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now, wait := i.now(), keysAgain
	if i.keys != nil && now.Sub(i.keysAt) < keysLife {
		keys = i.keys
	} else {
		wait = retryAfter
	}
	return keys, i.keysAt, i.keysTried.IsZero() || now.Sub(i.keysTried) >= wait
}

func (i *issuer) fetchKeys(ctx context.Context, url string) {
	keys, err := func() ([]jose.JSONWebKey, error) {
		body, err := i.get(ctx, url, "", "application/json")
		if err != nil {
			return nil, err
		}
		return parseKeys(body)
	}()
	i.count("keys", err)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keysTried, i.keysErr = i.now(), err
	if err == nil {
		i.keys, i.keysAt = keys, i.now()
	} else {
		i.log.WarnContext(ctx, "fetching keys failed", "issuer", i.url, "error", err)
	}
}

// get fetches a document; its size is bounded by the client.
func (i *issuer) get(ctx context.Context, url, bearer, accept string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	r.Header.Set("Accept", accept)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := i.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", url, resp.StatusCode)
	}
	return io.ReadAll(resp.Body)
}

// unavailableError marks a failure of the provider, not of the person or the answer.
type unavailableError struct{ error }

func (e *unavailableError) Unwrap() error { return e.error }

// clip cuts an error whose text may repeat what the provider sent.
func clip(err error) error {
	if text := err.Error(); len(text) > 300 {
		return fmt.Errorf("%s…", text[:300])
	}
	return err
}
