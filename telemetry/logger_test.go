package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport/sallyport/secret"
)

type nilStringer struct{ text string }

func (n *nilStringer) String() string { return n.text }

func TestNoValueForgesALineOrSteersATerminal(t *testing.T) {
	evil := map[string]string{
		"a line end":          "alice\nlevel=ERROR msg=forged",
		"a carriage return":   "alice\rforged",
		"an escape sequence":  "\x1b[2J\x1b[31mred",
		"a C1 control":        "\u009b31m",
		"a direction change":  "user\u202egnp.exe",
		"a line separator":    "a\u2028b\u2029c\u0085d",
		"NUL and DEL":         "a\x00b\x7f",
		"bytes, not UTF-8":    "\xff\xfe\x9b31m",
		"a zero width space":  "adm\u200bin",
		"a byte order mark":   "\ufeffx",
		"one megabyte":        strings.Repeat("A", 1<<20),
		"a megabyte of lines": strings.Repeat("\n", 1<<20),
	}
	for name, value := range evil {
		for _, format := range []string{FormatJSON, FormatText} {
			t.Run(name+" in "+format, func(t *testing.T) {
				var out bytes.Buffer
				log, _ := NewLogger(&out, Log{Format: format})
				log.Info(value, "string", value, "error", errors.New(value), "bytes", []byte(value), "list", []string{value},
					slog.Group("group", "inner", value))
				if n := strings.Count(out.String(), "\n"); n != 1 {
					t.Errorf("%d lines, want 1", n)
				}
				if out.Len() > 7*6*MaxLogValue {
					t.Errorf("%d bytes are not cut", out.Len())
				}
				texts := []string{strings.TrimSuffix(out.String(), "\n")}
				if format == FormatJSON {
					var line map[string]any
					if err := json.Unmarshal(out.Bytes(), &line); err != nil {
						t.Fatal(err)
					}
					group := line["group"].(map[string]any)
					texts = append(texts, line["msg"].(string), line["string"].(string), line["error"].(string), group["inner"].(string))
				}
				for _, text := range texts {
					if !utf8.ValidString(text) {
						t.Errorf("not UTF-8: %q", text)
					}
					if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
						t.Errorf("a character that is not printable at %d: %q", i, text[i:min(len(text), i+10)])
					}
				}
			})
		}
	}
}

func TestLoggerKeepsWhatIsHarmless(t *testing.T) {
	var out bytes.Buffer
	log, level := NewLogger(&out, Config{}.WithDefaults().Log)
	log.Debug("hidden")
	level.Set(slog.LevelDebug)
	log.Debug("Grüße, 東京", "n", 3, "ok", true, "nil", nil)
	got := out.String()
	for _, want := range []string{`"msg":"Grüße, 東京"`, `"n":3`, `"ok":true`, `"level":"DEBUG"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, "hidden") {
		t.Error("a line below the level was logged")
	}
}

func TestLoggerSurvivesOddValuesAndKeepsSecrets(t *testing.T) {
	var out bytes.Buffer
	log, _ := NewLogger(&out, Log{Format: FormatText})
	holder := struct{ hidden, Shown secret.String }{secret.New("hunter2"), secret.New("hunter3")}
	log.Info("x", "nil pointer", (*nilStringer)(nil), "channel", make(chan int), "holder", holder, "pointer", &holder)
	if strings.Contains(out.String(), "hunter") {
		t.Errorf("a secret shows: %s", out.String())
	}
	if !strings.Contains(out.String(), "holder=") || !strings.Contains(out.String(), "PANIC") {
		t.Errorf("values are missing: %s", out.String())
	}
}

func TestConfigCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"the defaults are fine", Config{}, ""},
		{"an unknown format", Config{Log{Format: "xml"}}, "log.format"},
		{"an unknown level", Config{Log{Level: "loud"}}, "log.level"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			c.cfg.Check(func(path, _, _ string) { got = append(got, path) }, func(string, string, string) {})
			if strings.Join(got, " ") != c.want {
				t.Errorf("problems at %v, want %q", got, c.want)
			}
		})
	}
}

func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"", "plain", "a\nb", "\xff", "\u202e", strings.Repeat("é", MaxLogValue)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Printable(s)
		if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(got) {
			t.Errorf("Printable(%q) = %q", s, got)
		}
		if len(got) > 6*MaxLogValue+32 {
			t.Errorf("%d bytes", len(got))
		}
	})
}
