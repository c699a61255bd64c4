package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
	"time"
)

//go:embed templates/*.html style.css messages.en.json
var files embed.FS

// names are the pages; each is a file in templates.
func names() []string {
	return []string{"refusal", "login", "logout", "loggedout", "whoami", "message"}
}

// Pages renders our pages. It is safe for concurrent use.
type Pages struct {
	pages map[string]*template.Template
	csp   string
}

// New parses the embedded templates. An error is a mistake in them.
func New(c Config) (*Pages, error) {
	c = c.WithDefaults()
	style, err := files.ReadFile("style.css")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	texts, err := catalogue()
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(style)
	p := &Pages{pages: map[string]*template.Template{}, csp: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; img-src data:; base-uri 'none'; frame-ancestors 'none'; form-action "}
	functions := template.FuncMap{
		"t":       texts.text,
		"heading": texts.heading,
		"product": func() string { return c.Name },
		// The style is ours, embedded, and the policy holds its hash: it is the one
		// text that is not escaped.
		"style": func() template.CSS { return template.CSS(style) },
		"utc":   func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") },
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}
	for _, name := range names() {
		t, err := template.New("layout.html").Option("missingkey=error").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("web: page %q: %w", name, err)
		}
		p.pages[name] = t
	}
	return p, nil
}

// Render writes a page. The whole page is made before the first byte is written, so on
// an error nothing has been; only an error of w itself can come later.
func (p *Pages) Render(w io.Writer, page string, data any) error {
	t, ok := p.pages[page]
	if !ok {
		return fmt.Errorf("web: there is no page %q", page)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return fmt.Errorf("web: render page %q: %w", page, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// CSP is the Content-Security-Policy of pages whose forms stay on the site.
func (p *Pages) CSP() string { return p.csp + "'self'" }

// CSPLeaving is the policy of pages whose form may be answered by a redirect to an
// identity provider. Chromium holds the targets of such redirects against form-action too, and
// naming the providers would tell strangers who the tenants are. Plain http is
// named for loopback alone, for providers on a developer's machine.
func (p *Pages) CSPLeaving() string {
	return p.csp + "'self' https: http://127.0.0.1:* http://localhost:*"
}

// texts is the message catalogue.
type texts map[string]string

func catalogue() (texts, error) {
	b, err := files.ReadFile("messages.en.json")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	all := texts{}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("web: the message catalogue: %w", err)
	}
	return all, nil
}

// text gives the message of that key, its {} replaced by the arguments in order.
func (t texts) text(key string, args ...string) (string, error) {
	text, ok := t[key]
	if !ok {
		return "", fmt.Errorf("no message %q", key)
	}
	if n := strings.Count(text, "{}"); n != len(args) {
		return "", fmt.Errorf("message %q takes %d arguments, got %d", key, n, len(args))
	}
	parts := strings.Split(text, "{}")
	var b strings.Builder
	for i, part := range parts {
		b.WriteString(part)
		if i < len(args) {
			b.WriteString(args[i])
		}
	}
	return b.String(), nil
}

// heading says in plain words what a status means; title is the fallback.
func (t texts) heading(status int, title string) string {
	if text, ok := t[fmt.Sprintf("refusal.heading.%d", status)]; ok {
		return text
	}
	if title != "" {
		return title
	}
	return http.StatusText(status)
}
