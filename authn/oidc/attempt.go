package oidc

import (
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/authn"
)

// The bounds of login attempts.
const (
	// AttemptLife is how long a person may take at the provider.
	AttemptLife = 10 * time.Minute
	// MaxAttempts is how many may be open in one browser; the oldest go first.
	MaxAttempts = 5
	// CookiePrefix begins the name of an attempt's cookie; the attempt's id follows. It is
	// among the names that authn keeps from backends.
	CookiePrefix = authn.CookiePrefix + "login-"

	attemptIDLength = 16 // characters of base32: 80 bits, so that ids do not collide
	maxCookieValue  = 3800
)

var errAttempt = errors.New("no such login attempt in this browser")

// attempt is what one login remembers while the person is at the provider. It is kept by the
// browser, sealed: it cannot be read, forged, changed or moved to another site.
type attempt struct {
	Provider    string `json:"p"`
	Fingerprint string `json:"f"` // of the provider's settings: a changed provider ends the attempt
	Callback    string `json:"c"` // the endpoint at which the answer must come
	Secret      string `json:"k"` // the second half of state
	Nonce       string `json:"n"`
	Verifier    string `json:"v"` // PKCE (RFC 7636, section 4.1)
	Return      string `json:"r"`
	Made        int64  `json:"t"` // Unix microseconds

	id string
}

func (a *attempt) made() time.Time { return time.UnixMicro(a.Made) }

// state is what the provider hands back: which attempt, and a secret that only the
// sealed cookie knows as well.
func (a *attempt) state() string { return a.id + "." + a.Secret }

// Sealer encrypts what the browser keeps for us: secret.Sealer does.
type Sealer interface {
	Seal(plain []byte, aad string) []byte
	Open(box []byte, aad string) ([]byte, error)
}

// place is where an attempt happens; its cookie opens nowhere else.
type place struct{ site, origin string }

func (p place) aad(id string) string { return "login\x00" + id + "\x00" + p.site + "\x00" + p.origin }

func newAttemptID() string { return rand.Text()[:attemptIDLength] }

func (a *attempt) cookie(s Sealer, at place) (*http.Cookie, error) {
	plain, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("write the login attempt: %w", err)
	}
	value := base64.RawURLEncoding.EncodeToString(s.Seal(plain, at.aad(a.id)))
	if len(value) > maxCookieValue {
		return nil, fmt.Errorf("login attempt of %d bytes does not fit in a cookie", len(value))
	}
	return attemptCookie(a.id, value, int(AttemptLife/time.Second)), nil
}

// attemptCookie is SameSite=None because providers may answer by a cross-site POST; what it
// holds is sealed and good for one login only. maxAge -1 removes it.
func attemptCookie(id, value string, maxAge int) *http.Cookie {
	return &http.Cookie{Name: CookiePrefix + id, Value: value, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode}
}

// openAttempt finds the attempt of that id among the cookies and opens it.
func openAttempt(cookies []*http.Cookie, id string, s Sealer, at place) (*attempt, error) {
	var found *http.Cookie
	for _, c := range cookies {
		if c.Name != CookiePrefix+id {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%w: two cookies of one name", errAttempt) // cookie tossing
		}
		found = c
	}
	if found == nil || len(found.Value) > maxCookieValue {
		return nil, errAttempt
	}
	box, err := base64.RawURLEncoding.Strict().DecodeString(found.Value)
	if err != nil {
		return nil, errAttempt
	}
	plain, err := s.Open(box, at.aad(id))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAttempt, err)
	}
	a := &attempt{id: id}
	if err := json.Unmarshal(plain, a); err != nil {
		return nil, fmt.Errorf("%w: %w", errAttempt, err)
	}
	return a, nil
}

// attemptOf finds the attempt that a state belongs to.
func attemptOf(state string, cookies []*http.Cookie, s Sealer, at place) (*attempt, error) {
	id, key, ok := strings.Cut(state, ".")
	if !ok || !validAttemptID(id) {
		return nil, errAttempt
	}
	a, err := openAttempt(cookies, id, s, at)
	if err != nil {
		return nil, err
	}
	if a.Secret == "" || subtle.ConstantTimeCompare([]byte(a.Secret), []byte(key)) != 1 {
		return nil, fmt.Errorf("%w: the state is another's", errAttempt)
	}
	return a, nil
}

func validAttemptID(id string) bool {
	return len(id) == attemptIDLength && !strings.ContainsFunc(id, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '2' || r > '7') })
}

// makeRoom gives the cookies that remove dead attempts, and the oldest ones until there
// is room for one more.
func makeRoom(cookies []*http.Cookie, s Sealer, at place, now time.Time) []*http.Cookie {
	var live []*attempt
	var remove []*http.Cookie
	for _, c := range cookies {
		id, ours := strings.CutPrefix(c.Name, CookiePrefix)
		if !ours || !validAttemptID(id) || slices.ContainsFunc(remove, func(r *http.Cookie) bool { return r.Name == c.Name }) {
			continue
		}
		a, err := openAttempt(cookies, id, s, at)
		if err != nil || now.Sub(a.made()) > AttemptLife {
			remove = append(remove, attemptCookie(id, "", -1))
			continue
		}
		live = append(live, a)
	}
	slices.SortFunc(live, func(a, b *attempt) int { return cmp.Compare(a.Made, b.Made) })
	for len(live) >= MaxAttempts {
		remove = append(remove, attemptCookie(live[0].id, "", -1))
		live = live[1:]
	}
	return remove
}
