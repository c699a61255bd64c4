package oidc

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	library "github.com/coreos/go-oidc/v3/oidc"
)

// How far clocks may differ, and how much older than the attempt a token may be.
const (
	clockSkew  = time.Minute
	maxSubject = 255 // OpenID Connect Core 1.0, section 2
)

// proof is what a verified ID token says, with userinfo's claims beside it.
type proof struct {
	raw      string
	subject  string // sub, as the token has it
	issuedAt time.Time
	claims   map[string]json.RawMessage
}

// verify checks an ID token: the library signature, issuer, audience and expiry; here what it leaves
// to its caller (OpenID Connect Core 1.0, section 3.1.3.7).
func (p *provider) verify(ctx context.Context, meta *metadata, raw, accessToken string, a *attempt, now func() time.Time) (*proof, error) {
	if len(raw) > maxTokenLen {
		return nil, fmt.Errorf("ID token of %d bytes, at most %d", len(raw), maxTokenLen)
	}
	keys := &remembering{keySet: keySet{issuer: p.issuer, meta: meta}}
	token, err := library.NewVerifier(p.Issuer, keys, &library.Config{
		ClientID: p.ClientID, SupportedSigningAlgs: meta.algorithms, Now: now,
	}).Verify(ctx, raw)
	if keys.err != nil {
		return nil, keys.err // the library's own error hides it
	}
	if err != nil {
		return nil, fmt.Errorf("verify the ID token: %w", err)
	}
	var own struct {
		AuthorizedParty *string         `json:"azp"`
		NotBefore       float64         `json:"nbf"`
		Events          json.RawMessage `json:"events"`
	}
	claims := map[string]json.RawMessage{}
	if err := errors.Join(token.Claims(&own), token.Claims(&claims)); err != nil {
		return nil, fmt.Errorf("read the ID token's claims: %w", err)
	}
	switch at := now(); {
	case a.Nonce == "" || subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(a.Nonce)) != 1:
		return nil, errors.New("the ID token's nonce is not that of this attempt")
	case len(token.Audience) != 1:
		return nil, fmt.Errorf("the ID token is for %d audiences, want this client alone", len(token.Audience))
	case own.AuthorizedParty != nil && *own.AuthorizedParty != p.ClientID:
		return nil, errors.New("the ID token was issued to another party (azp)")
	case own.Events != nil:
		return nil, errors.New("a security event is not an ID token")
	case token.Subject == "" || len(token.Subject) > maxSubject:
		return nil, fmt.Errorf("the ID token's subject has %d bytes, want 1 to %d", len(token.Subject), maxSubject)
	case token.IssuedAt.After(at.Add(clockSkew)):
		return nil, errors.New("the ID token was issued in the future")
	case token.IssuedAt.Before(a.made().Add(-clockSkew)):
		return nil, errors.New("the ID token is older than the attempt, or does not say when it was issued")
	case own.NotBefore > float64(at.Add(clockSkew).Unix()):
		return nil, errors.New("the ID token is not valid yet")
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(accessToken); err != nil {
			return nil, fmt.Errorf("at_hash: %w", err)
		}
	}
	return &proof{raw: raw, subject: token.Subject, issuedAt: token.IssuedAt, claims: claims}, nil
}

// remembering keeps the error of a key set, of whose kind the library keeps only the text.
type remembering struct {
	keySet
	err error
}

// VerifySignature implements the library's KeySet.
func (r *remembering) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := r.keySet.VerifySignature(ctx, token)
	r.err = err
	return payload, err
}

// addUserInfo asks the userinfo endpoint for claims that the ID token lacks. What the
// token says wins, since it is signed; distributed claims are never followed.
func (p *provider) addUserInfo(ctx context.Context, meta *metadata, accessToken string, pr *proof) error {
	missing := false
	for _, name := range []string{p.Claims.Email, p.Claims.Name, p.Claims.Groups, p.Roles.Claim, p.Claims.Subject} {
		_, has := lookup(pr.claims, name)
		missing = missing || !has
	}
	if !missing || meta.UserInfo == "" || accessToken == "" {
		return nil
	}
	body, err := p.issuer.get(ctx, meta.UserInfo, accessToken, "application/json")
	if err != nil {
		return &unavailableError{fmt.Errorf("ask userinfo: %w", err)}
	}
	var more map[string]json.RawMessage
	if err := json.Unmarshal(body, &more); err != nil {
		return errors.New("userinfo is not a JSON object")
	}
	// Core 1.0, section 5.3.2: without this check the answer may be about anybody.
	var sub string
	if err := json.Unmarshal(more["sub"], &sub); err != nil || sub != pr.subject {
		return errors.New("userinfo is about another subject than the ID token")
	}
	for name, value := range more {
		if _, has := pr.claims[name]; !has {
			pr.claims[name] = value
		}
	}
	return nil
}
