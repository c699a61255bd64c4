package authn

import (
	"crypto/sha256"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/sallyport/sallyport/access"
)

// cacheWeight bounds the cache of verified tokens, in bytes as weigh counts them.
const cacheWeight = 64 << 20

// verified is a token whose signature and claims were checked once. What can change
// with time is checked each time that it is used: expiry, key, revocation, site.
type verified struct {
	identity *access.Identity
	site     string
	kid      string
	expires  time.Time
	// capped says that the token ends with its session, sooner than it would by itself:
	// renewing it would gain nothing.
	capped bool
}

// tokenCache remembers verified tokens by the SHA-256 of their text: no token is kept,
// and two spellings of one token never meet. An entry holds the session's Identity,
// shared by its requests together with what policy keeps in its Memo.
type tokenCache struct {
	entries *otter.Cache[[sha256.Size]byte, *verified]
}

func newTokenCache() *tokenCache {
	return &tokenCache{otter.Must(&otter.Options[[sha256.Size]byte, *verified]{
		MaximumWeight: cacheWeight,
		Weigher:       func(_ [sha256.Size]byte, v *verified) uint32 { return v.weigh() },
	})}
}

func (c *tokenCache) get(token string) (*verified, bool) {
	return c.entries.GetIfPresent(sha256.Sum256([]byte(token)))
}

// put stores a verified token and returns the entry that counts: of two requests that
// verify a token at once, both use the first one's Identity.
func (c *tokenCache) put(token string, v *verified) *verified {
	kept, _ := c.entries.SetIfAbsent(sha256.Sum256([]byte(token)), v)
	return kept
}

// weigh is about how many bytes an entry holds, with room for a Memo.
func (v *verified) weigh() uint32 {
	id := v.identity
	n := 2048 + len(id.Subject) + len(id.Email) + len(id.Name)
	for _, list := range [][]string{id.Roles, id.Groups, id.AMR} {
		for _, s := range list {
			n += len(s) + 16
		}
	}
	return uint32(n)
}
