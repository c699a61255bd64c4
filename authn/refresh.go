package authn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// maxRefreshToken bounds a refresh token in bytes: tenant, id, generation and MAC
// with their dots.
const maxRefreshToken = access.MaxTenantID + idSize + 19 + macSize + 3

const (
	idSize  = 22 // 128 bits in base64url
	macSize = 43 // 256 bits in base64url
)

var errRefreshToken = errors.New("not a refresh token of this site")

// refreshToken names a session and which of its refresh tokens this is. Its text is
// "tenant.session.generation.mac": the MAC proves that we issued it, for this site and
// environment, before the database is asked anything; and whoever holds one cannot
// work out the next.
type refreshToken struct {
	tenant     access.TenantID
	session    string
	generation int64
}

// refreshMAC makes and checks refresh tokens. The key is derived from the master key,
// so neither the database nor a backup of it can make one.
type refreshMAC struct {
	key         []byte
	environment string
}

func (m refreshMAC) sum(site, text string) []byte {
	h := hmac.New(sha256.New, m.key)
	// None of the parts can hold a NUL, so no two lists of parts read alike.
	h.Write([]byte("refresh\x00" + m.environment + "\x00" + site + "\x00" + text))
	return h.Sum(nil)
}

func (m refreshMAC) issue(site string, t refreshToken) string {
	text := t.tenant.String() + "." + t.session + "." + strconv.FormatInt(t.generation, 10)
	return text + "." + base64.RawURLEncoding.EncodeToString(m.sum(site, text))
}

// parse accepts exactly what issue made for the site: one spelling, or none.
func (m refreshMAC) parse(site, token string) (refreshToken, error) {
	if len(token) > maxRefreshToken {
		return refreshToken{}, fmt.Errorf("%w: %d bytes", errRefreshToken, len(token))
	}
	end := strings.LastIndexByte(token, '.')
	if end < 0 || len(token)-end-1 != macSize {
		return refreshToken{}, errRefreshToken
	}
	text := token[:end]
	// Compared as text, not decoded: base64 has several spellings for the same bytes.
	want := base64.RawURLEncoding.EncodeToString(m.sum(site, text))
	if !hmac.Equal([]byte(want), []byte(token[end+1:])) {
		return refreshToken{}, errRefreshToken
	}
	// It is ours, so these cannot fail unless issue is broken; fail closed all the same.
	parts := strings.Split(text, ".")
	if len(parts) != 3 || len(parts[1]) != idSize {
		return refreshToken{}, errRefreshToken
	}
	tenant, err := access.ParseTenantID(parts[0])
	if err != nil {
		return refreshToken{}, errRefreshToken
	}
	generation, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || generation < 0 {
		return refreshToken{}, errRefreshToken
	}
	return refreshToken{tenant: tenant, session: parts[1], generation: generation}, nil
}

// newID makes the id of a session or login: 128 random bits in base64url.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}
