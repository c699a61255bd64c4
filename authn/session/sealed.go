package session

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
	"github.com/sallyport/sallyport/secret"
)

// payload is what a session's row holds under seal.
type payload struct {
	Subject         string   `json:"subject"`
	Email           string   `json:"email,omitempty"`
	Name            string   `json:"name,omitempty"`
	Roles           []string `json:"roles,omitempty"`
	Groups          []string `json:"groups,omitempty"`
	Provider        string   `json:"provider"`
	ProviderSession string   `json:"provider_session,omitempty"`
	AuthTime        int64    `json:"auth_time"`
	AMR             []string `json:"amr,omitempty"`
	IDToken         string   `json:"id_token,omitempty"`
}

// sessionRow and keyRow name a row, so that a sealed value moved to another row, by
// whoever can write to the database, does not open there.
func sessionRow(tenant access.TenantID, id string) string {
	return "authn_sessions\x00" + tenant.String() + "\x00" + id
}

func keyRow(environment, purpose, id string) string {
	return "authn_keys\x00" + environment + "\x00" + purpose + "\x00" + id
}

func sealLogin(s *secret.Sealer, row string, l authn.Login) ([]byte, error) {
	plain, err := json.Marshal(payload{
		Subject: l.Subject, Email: l.Email, Name: l.Name, Roles: l.Roles, Groups: l.Groups, Provider: l.Provider,
		ProviderSession: l.ProviderSession, AuthTime: l.AuthTime.UnixMicro(), AMR: l.AMR, IDToken: l.IDToken.Reveal(),
	})
	if err != nil {
		return nil, fmt.Errorf("seal a login: %w", err)
	}
	return s.Seal(plain, row), nil
}

func openLogin(s *secret.Sealer, row string, tenant access.TenantID, box []byte) (authn.Login, error) {
	plain, err := s.Open(box, row)
	if err != nil {
		return authn.Login{}, err
	}
	var p payload
	if err := json.Unmarshal(plain, &p); err != nil {
		return authn.Login{}, fmt.Errorf("open a login: %w", err)
	}
	return authn.Login{
		Tenant: tenant, Subject: p.Subject, Email: p.Email, Name: p.Name, Roles: p.Roles, Groups: p.Groups, Provider: p.Provider,
		ProviderSession: p.ProviderSession, AuthTime: time.UnixMicro(p.AuthTime).UTC(), AMR: p.AMR, IDToken: secret.New(p.IDToken),
	}, nil
}

// providerSession is how a session at a provider is found again without its id.
func providerSession(l authn.Login) string {
	if l.ProviderSession == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(l.Provider + "\x00" + l.ProviderSession))
	return hex.EncodeToString(sum[:])
}
