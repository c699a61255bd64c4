package proxy

import (
	"net/http"

	"github.com/sallyport/sallyport/access"
)

// answer is the ResponseWriter of one exchange. It notes what was answered, and just
// before the header goes out it adds the cookies that the exchange wants set and the
// headers that every answer bears. It is not for concurrent use.
type answer struct {
	http.ResponseWriter
	ex     *access.Exchange
	harden func(ex *access.Exchange, h http.Header)
	status int
	bytes  int64
}

// Unwrap lets http.ResponseController reach the connection (flush, hijack, deadlines).
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter. Informational answers (1xx) pass and do
// not count as the answer, except 101, which is one.
func (a *answer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		if a.status != 0 {
			return
		}
		a.status = status
		a.prepare()
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

func (a *answer) prepare() {
	h := a.Header()
	for _, c := range a.ex.SetCookies {
		h.Add("Set-Cookie", c.String())
	}
	if len(a.ex.SetCookies) > 0 {
		// A shared cache that kept this answer would hand one user's session to another.
		h.Set("Cache-Control", "private, no-store")
		h.Del("Expires")
	}
	if !a.ex.Request.ProtoAtLeast(1, 1) {
		// HTTP/1.0 has no chunked coding (RFC 9112, section 6.1). What a client sent as one must not be
		// taken for its next request.
		h["Connection"] = []string{"close"}
	}
	a.harden(a.ex, h)
}
