package edge

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sallyport/sallyport/units"
)

func check(c Config) (problems, warnings []string) {
	c.Check(func(path, _, _ string) { problems = append(problems, path) }, func(path, _, _ string) { warnings = append(warnings, path) })
	slices.Sort(problems)
	return problems, warnings
}

func TestCheck(t *testing.T) {
	good := func() Config { return Config{TLS: TLS{ACME: ACME{Email: "ops@example.com"}}} }
	for _, c := range []struct {
		name               string
		change             func(*Config)
		problems, warnings string
	}{
		{"an e-mail address for ACME is enough", func(*Config) {}, "", ""},
		{"everything off that can be", func(c *Config) { c.HTTP, c.Ops = Off, Off }, "", ""},
		{"ports of the system's choice", func(c *Config) { c.HTTPS, c.HTTP, c.Ops = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0" }, "", ""},
		{"ops on every address", func(c *Config) { c.Ops = ":9901" }, "", "ops"},
		{"ops on a private address", func(c *Config) { c.Ops = "10.0.0.1:9901" }, "", "ops"},
		{"ops on a name", func(c *Config) { c.Ops = "ops.example.com:9901" }, "", "ops"},
		{"ops on IPv6 loopback", func(c *Config) { c.Ops = "[::1]:9901" }, "", ""},
		{"ops on localhost", func(c *Config) { c.Ops = "localhost:9901" }, "", ""},
		{"https cannot be off", func(c *Config) { c.HTTPS = Off }, "https", ""},
		{"addresses that are none", func(c *Config) { c.HTTPS, c.HTTP, c.Ops = "443", ":http", "127.0.0.1:99999" }, "http https ops", ""},
		{"one address twice", func(c *Config) { c.HTTP, c.Ops = ":443", ":443" }, "http ops", "ops"},
		{"a public port that is none", func(c *Config) { c.PublicPort = 70000 }, "public_port", ""},
		{"no source of certificates", func(c *Config) { c.TLS = TLS{} }, "tls", ""},
		{"two sources of certificates", func(c *Config) { c.TLS.LocalCA = true }, "tls", ""},
		{"the local authority", func(c *Config) { c.TLS = TLS{LocalCA: true} }, "", "tls.local_ca"},
		{"own files", func(c *Config) { c.TLS = TLS{Certificates: []Certificate{{"/c", "/k"}}} }, "", ""},
		{"own files without names", func(c *Config) { c.TLS = TLS{Certificates: []Certificate{{"/c", "/k"}, {}}} }, "tls.certificates[1].cert tls.certificates[1].key", ""},
		{"ACME without an e-mail address", func(c *Config) { c.TLS.ACME = ACME{Directory: "https://ca.example.com/dir"} }, "tls.acme.email", ""},
		{"ACME with a name beside the address", func(c *Config) { c.TLS.ACME.Email = "Ops <ops@example.com>" }, "tls.acme.email", ""},
		{"an ACME authority in clear", func(c *Config) { c.TLS.ACME.Directory = "http://ca.example.com/dir" }, "tls.acme.directory", ""},
		{"TLS 1.1", func(c *Config) { c.TLS.MinVersion = "1.1" }, "tls.min_version", ""},
		{"TLS 1.3", func(c *Config) { c.TLS.MinVersion = "1.3" }, "", ""},
		{"a relative storage", func(c *Config) { c.TLS.Storage = "certs" }, "tls.storage", ""},
		{"every address trusted", func(c *Config) {
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::/0"), {}}
		}, "trusted_proxies[1] trusted_proxies[2]", ""},
		{"limits that are too large", func(c *Config) {
			c.Timeouts = Timeouts{ReadHeader: units.Span(time.Hour), Idle: units.Span(24 * time.Hour), BodyStall: units.Span(time.Hour),
				BodyRate: units.GiB, WriteStall: units.Span(time.Hour)}
			c.MaxHeader, c.MaxStreams, c.Drain, c.DrainDelay = units.GiB, 10000, units.Span(48*time.Hour), units.Span(time.Hour)
		}, "drain drain_delay max_header max_streams timeouts.body_rate timeouts.body_stall timeouts.idle timeouts.read_header timeouts.write_stall", ""},
		{"limits below zero", func(c *Config) { c.MaxStreams, c.Connections = -1, Connections{-1, -1} },
			"connections.per_address connections.total max_streams", ""},
		{"one address may take all", func(c *Config) { c.Connections = Connections{PerAddress: 100, Total: 10} }, "", "connections.per_address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := good()
			c.change(&cfg)
			problems, warnings := check(cfg)
			if got := strings.Join(problems, " "); got != c.problems {
				t.Errorf("problems %q, want %q", got, c.problems)
			}
			if got := strings.Join(warnings, " "); got != c.warnings {
				t.Errorf("warnings %q, want %q", got, c.warnings)
			}
		})
	}
}

func TestNeedsRestart(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"nothing changed", func(*Config) {}, ""},
		{"a default written out", func(c *Config) { c.HTTPS = ":443" }, ""},
		{"what a reload changes", func(c *Config) {
			c.Connections.Total, c.Drain, c.PublicPort = 9, 9, 9
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}, ""},
		{"addresses", func(c *Config) { c.HTTPS, c.HTTP, c.Ops = ":1", ":2", ":3" }, "https http ops"},
		{"another source", func(c *Config) { c.TLS = TLS{LocalCA: true} }, "tls tls.acme"},
		{"servers' settings", func(c *Config) { c.MaxHeader, c.MaxStreams, c.Timeouts.Idle = 1, 1, 1 }, "timeouts max_header max_streams"},
	} {
		old := Config{TLS: TLS{ACME: ACME{Email: "ops@example.com"}}}
		changed := old
		c.change(&changed)
		if got := strings.Join(NeedsRestart(old, changed), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestCertmagicLogsIntoOurLog(t *testing.T) {
	var b bytes.Buffer
	log := zapToSlog(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelInfo}))).Named("obtain").With(zap.String("host", "crm.test"))
	log.Debug("quiet")
	log.Warn("slow", zap.Error(errors.New("no answer")), zap.Strings("names", []string{"a", "b"}), zap.Duration("in", time.Second))
	got := b.String()
	for _, want := range []string{"level=WARN", "slow", "host=crm.test", "no answer", "[a b]", "in=1s"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if strings.Contains(got, "quiet") {
		t.Error("a line below the level was logged")
	}
}

func TestServerLogLevels(t *testing.T) {
	for message, want := range map[string]string{
		"http: TLS handshake error from 192.0.2.1:1: EOF":    "",
		"http: panic serving 192.0.2.1:1: oops":              "level=ERROR",
		"http: Accept error: too many open files; retrying ": "level=WARN",
	} {
		var b bytes.Buffer
		inner := slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelInfo})
		slog.NewLogLogger(serverLog{inner, "https"}, slog.LevelWarn).Print(message)
		if got := b.String(); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q is logged as %q, want %q", message, got, want)
		}
	}
}
