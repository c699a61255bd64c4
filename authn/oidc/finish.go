package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
)

// The bounds of what a provider sends back through the browser.
const (
	maxCode       = 4096
	finishTimeout = 20 * time.Second
)

// Callback is what came back to a callback endpoint.
type Callback struct {
	Address
	// Endpoint is the path below the prefix at which it came.
	Endpoint string
	Query    []access.Pair
	Cookies  []*http.Cookie
}

// Finished is the end of an attempt. Cookies are to be set whatever Finish says.
type Finished struct {
	Login   authn.Login
	Return  string
	Cookies []*http.Cookie
}

// Finish ends a login attempt. Every error is a *access.Refusal; there is a Login only
// without one.
func (s *Set) Finish(ctx context.Context, cb Callback) (Finished, error) {
	q, err := callbackQuery(cb.Query)
	if err != nil {
		return Finished{}, foreign(err)
	}
	a, err := attemptOf(q.state, cb.Cookies, s.runtime.sealer, cb.place())
	if err != nil {
		return Finished{}, foreign(err)
	}
	// From here on the attempt is this browser's own, and it ends, however it ends.
	done := Finished{Cookies: []*http.Cookie{attemptCookie(a.id, "", -1)}}
	p, err := s.claim(ctx, a, cb)
	if err != nil {
		return done, err
	}
	ctx, cancel := context.WithTimeout(ctx, finishTimeout)
	defer cancel()
	login, err := s.login(ctx, p, a, q, cb.Address)
	s.runtime.logins.Add(1, p.Name, result(err))
	if err != nil {
		return done, err
	}
	done.Login, done.Return = login, a.Return
	return done, nil
}

func result(err error) string {
	if refusal := (*access.Refusal)(nil); errors.As(err, &refusal) {
		return refusal.Code
	}
	return "ok"
}

// claim uses the attempt up, and finds the provider that it was made for.
func (s *Set) claim(ctx context.Context, a *attempt, cb Callback) (*provider, error) {
	age := s.runtime.now().Sub(a.made())
	if age > AttemptLife || age < -time.Minute {
		return nil, access.Refuse(http.StatusBadRequest, "login_expired", "This sign-in took longer than ten minutes, so it was stopped.", "Sign in again.")
	}
	first, err := s.runtime.once.Use(ctx, a.Secret, a.made(), AttemptLife)
	if err != nil {
		return nil, access.Unavailable("login_unavailable", fmt.Errorf("oidc: remember the used attempt: %w", err)) // closed
	}
	if !first {
		return nil, foreign(errors.New("the attempt was used before"))
	}
	p, ok := s.byName[a.Provider]
	if !ok || p.fingerprint != a.Fingerprint || !p.serves(cb.Site) {
		return nil, access.Refuse(http.StatusForbidden, "provider_changed", "This way to sign in was changed or removed meanwhile.", "Sign in again.")
	}
	if a.Callback != cb.Endpoint || p.callback != cb.Endpoint {
		return nil, foreign(errors.New("the answer came at another provider's address"))
	}
	return p, nil
}

// login asks the provider who the person is.
func (s *Set) login(ctx context.Context, p *provider, a *attempt, q query, at Address) (authn.Login, error) {
	meta, err := p.issuer.metadata(ctx)
	if err != nil {
		return authn.Login{}, unavailable(err)
	}
	// RFC 9207, section 2.4: an answer in another's name is a mix-up, errors included.
	if q.hasIss && q.iss != p.Issuer || !q.hasIss && meta.SendsIss {
		return authn.Login{}, invalid(fmt.Errorf("the answer's iss is %.200q", q.iss))
	}
	if q.err != "" {
		return authn.Login{}, denied(q)
	}
	if q.code == "" || len(q.code) > maxCode {
		return authn.Login{}, invalid(fmt.Errorf("a code of %d bytes", len(q.code)))
	}
	client := context.WithValue(ctx, oauth2.HTTPClient, p.issuer.client)
	tokens, err := p.client(meta, at).Exchange(client, q.code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return authn.Login{}, exchangeRefusal(err)
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return authn.Login{}, invalid(errors.New("the token endpoint gave no ID token"))
	}
	proof, err := p.verify(ctx, meta, raw, tokens.AccessToken, a, s.runtime.now)
	if err == nil {
		err = p.addUserInfo(ctx, meta, tokens.AccessToken, proof)
	}
	if down := (*unavailableError)(nil); errors.As(err, &down) {
		return authn.Login{}, unavailable(err)
	}
	if err != nil {
		return authn.Login{}, invalid(err)
	}
	return p.person(proof, s.domains)
}

// query is a callback's query (RFC 6749, section 4.1.2).
type query struct {
	state, code, err, iss string
	hasIss                bool
}

// callbackQuery reads the parameters; one that stands twice makes the answer ambiguous
// (RFC 6749, section 3.1). Unknown ones are ignored, as the RFC wants.
func callbackQuery(pairs []access.Pair) (query, error) {
	var q query
	seen := map[string]bool{}
	for _, pair := range pairs {
		switch pair.Name {
		case "state":
			q.state = pair.Value
		case "code":
			q.code = pair.Value
		case "error":
			q.err = pair.Value
		case "iss":
			q.iss, q.hasIss = pair.Value, true
		default:
			continue
		}
		if seen[pair.Name] {
			return query{}, fmt.Errorf("parameter %s stands twice", pair.Name)
		}
		seen[pair.Name] = true
	}
	if seen["error"] && q.err == "" {
		q.err = "unnamed"
	}
	return q, nil
}

// foreign refuses an answer that belongs to no attempt of this browser: forged, another
// person's (login CSRF, RFC 9700 section 4.7), or used before. Counted: strangers
// can cause it at will.
func foreign(err error) *access.Refusal {
	r := access.Refuse(http.StatusBadRequest, "login_state", "This sign-in was not started in this browser, or it has already ended.", "Sign in again.")
	r.Counted = true
	return r.Because(fmt.Errorf("oidc: %w", err))
}

// invalid refuses an answer that does not prove what it should.
func invalid(err error) *access.Refusal {
	return access.Refuse(http.StatusForbidden, "login_invalid", "The answer of your organisation's sign-in service was not valid, so you were not signed in.",
		"Sign in again. If it goes on, tell your administrator the request id.").Because(fmt.Errorf("oidc: %w", clip(err)))
}

// denied refuses because the provider did. What it says in words is not shown: anybody could
// make a link that says anything.
func denied(q query) *access.Refusal {
	detail := "Your organisation's sign-in service did not let you in."
	switch q.err {
	case "access_denied":
		detail = "The sign-in was cancelled, or your organisation's sign-in service does not allow you to use this application."
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		detail = "Your organisation's sign-in service wants you to sign in there first."
	case "temporarily_unavailable", "server_error":
		return unavailable(fmt.Errorf("the provider answered %.40q", q.err))
	}
	return access.Refuse(http.StatusForbidden, "login_denied", detail, "Sign in again, or ask your administrator for access.").
		Because(fmt.Errorf("oidc: the provider answered %.40q", q.err))
}

// exchangeRefusal tells a provider that says no from one that does not answer. The
// library's error repeats the response's body, which may hold secrets: it is not kept.
func exchangeRefusal(err error) *access.Refusal {
	if said := (*oauth2.RetrieveError)(nil); errors.As(err, &said) {
		short := fmt.Errorf("the token endpoint answered %d %.40q", said.Response.StatusCode, said.ErrorCode)
		if said.Response.StatusCode >= 500 {
			return unavailable(short)
		}
		return invalid(short)
	}
	if said := (*url.Error)(nil); errors.As(err, &said) {
		return unavailable(fmt.Errorf("call the token endpoint: %w", said.Err))
	}
	return invalid(errors.New("the token endpoint's answer cannot be read"))
}
