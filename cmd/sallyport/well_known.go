package main

import (
	"net/http"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/web"
)

// wellKnown answers /.well-known/security.txt (RFC 9116) where the file names a contact. The
// application's own, if it has one, is served otherwise.
func wellKnown(cfg web.Config) []access.Endpoint {
	if cfg.SecurityContact == "" {
		return nil
	}
	return []access.Endpoint{{
		Path: "/.well-known/security.txt", Method: http.MethodGet, Class: access.Portal, Action: access.ActionRead, ReadOnly: true,
		Serve: func(w http.ResponseWriter, ex *access.Exchange) error {
			text, err := web.SecurityTxt(cfg.SecurityContact, time.Now().AddDate(0, 6, 0))
			if err != nil {
				return err
			}
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, err = w.Write(text)
			return err
		},
	}}
}
