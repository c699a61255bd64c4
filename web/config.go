package web

import (
	"fmt"
	"net/url"
	"strings"
)

// Config is the key "web" of the configuration file.
type Config struct {
	Name            string `yaml:"name" doc:"What the gateway calls itself on its pages, at most 60 bytes. Default: Sallyport."`
	SecurityContact string `yaml:"security_contact" doc:"Where to report a vulnerability, as a mailto: or https: URI; it is published in /.well-known/security.txt (RFC 9116). Default: none, and no such file."`
}

const maxName = 60

// WithDefaults fills in the name.
func (c Config) WithDefaults() Config {
	if c.Name == "" {
		c.Name = "Sallyport"
	}
	return c
}

// Check reports every problem of the configuration. It does no I/O.
func (c Config) Check(problem, _ func(path, what, hint string)) {
	if len(c.Name) > maxName || strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		problem("name", "too long, or with control characters", fmt.Sprintf("at most %d bytes of plain text", maxName))
	}
	if c.SecurityContact != "" && !validContact(c.SecurityContact) {
		problem("security_contact", fmt.Sprintf("%q is not a contact URI", c.SecurityContact), "such as mailto:security@example.com or https://example.com/security")
	}
}

func validContact(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false // a line break would add fields of its own to the file
		}
	}
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	return u.Scheme == "mailto" && strings.Contains(u.Opaque, "@") || u.Scheme == "https" && u.Host != ""
}
