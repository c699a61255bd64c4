package telemetry

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxLogValue bounds one value of a log line, in bytes before escaping. What a client
// sends ends up in logs; without a bound it writes as much as it likes.
const MaxLogValue = 8 << 10

// NewLogger makes the process's logger. The level can be changed while it runs.
//
// No value can forge a line or steer the terminal of whoever reads the log (CWE-117):
// every character that is not printable, line ends, escape sequences and direction
// overrides among them, is written as a visible escape, in both formats, so that it
// stays harmless after a JSON decoder has had it; and values are cut at MaxLogValue.
func NewLogger(w io.Writer, c Log) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(c.Least())
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: harmless}
	if c.Format == FormatText {
		return slog.New(slog.NewTextHandler(w, options)), level
	}
	return slog.New(slog.NewJSONHandler(w, options)), level
}

// harmless is called for every attribute but groups, the message among them, with its
// LogValue already resolved.
func harmless(_ []string, a slog.Attr) slog.Attr {
	a.Key = Printable(a.Key)
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(Printable(a.Value.String()))
	case slog.KindAny:
		if _, isLevel := a.Value.Any().(slog.Level); !isLevel {
			a.Value = slog.StringValue(Printable(text(a.Value.Any())))
		}
	}
	return a
}

// text is a value as text. It must not use %+v: that looks into unexported fields
// without calling their methods, and would print a secret.String that sits in one.
func text(v any) (s string) {
	defer func() {
		if p := recover(); p != nil { // a String method on a nil pointer
			s = fmt.Sprintf("!PANIC while logging a %T", v)
		}
	}()
	switch v := v.(type) {
	case nil:
		return "null"
	case error:
		return v.Error()
	case fmt.Stringer:
		return v.String()
	case []byte:
		return string(v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("!ERROR a %T cannot be logged", v)
	}
	return string(b)
}

// Printable writes every character that is not printable as a visible escape and cuts
// the text at MaxLogValue bytes, saying how long it was.
func Printable(s string) string {
	if len(s) <= MaxLogValue && plain(s) {
		return s
	}
	total := len(s)
	if total > MaxLogValue {
		s = s[:MaxLogValue]
	}
	var b strings.Builder
	b.Grow(len(s) + 32)
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	if total > MaxLogValue {
		fmt.Fprintf(&b, "… (%d bytes)", total)
	}
	return b.String()
}

// plain says that a text is printable ASCII, as nearly all are.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
