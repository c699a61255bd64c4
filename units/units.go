package units

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes. It is written as "512KiB", "10MiB", "1GiB" or plain bytes.
type Size int64

// The binary units (IEC 80000-13).
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
)

// UnmarshalText parses a size; negative and overflowing ones are refused.
func (s *Size) UnmarshalText(b []byte) error {
	text := string(b)
	unit := Size(1)
	for _, u := range []struct {
		suffix string
		unit   Size
	}{{"KiB", KiB}, {"MiB", MiB}, {"GiB", GiB}} {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			text, unit = strings.TrimSpace(rest), u.unit
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(unit) {
		return fmt.Errorf("not a size: want a whole number with KiB, MiB or GiB, such as 10MiB")
	}
	*s = Size(n) * unit
	return nil
}

// MarshalText prints the size in the largest unit that is exact.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is the text form.
func (s Size) String() string {
	switch {
	case s != 0 && s%GiB == 0:
		return fmt.Sprintf("%dGiB", s/GiB)
	case s != 0 && s%MiB == 0:
		return fmt.Sprintf("%dMiB", s/MiB)
	case s != 0 && s%KiB == 0:
		return fmt.Sprintf("%dKiB", s/KiB)
	}
	return strconv.FormatInt(int64(s), 10)
}

// SchemaPattern is the regular expression of the text form, for the JSON Schema.
func (Size) SchemaPattern() string { return `^[0-9]+ ?(KiB|MiB|GiB)?$` }

// Span is a length of time. It is written as Go writes durations ("1h30m", "300ms"),
// or in whole days ("90d", each of 24 hours).
type Span time.Duration

// UnmarshalText parses a span; negative ones are refused.
func (s *Span) UnmarshalText(b []byte) error {
	const want = "not a span of time: want a number with ms, s, m, h or d, such as 90s, 1h30m or 90d"
	text := string(b)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 64)
		if err != nil || n < 0 || n > 36500 {
			return errors.New(want)
		}
		*s = Span(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return errors.New(want)
	}
	*s = Span(d)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is the text form.
func (s Span) String() string {
	d := time.Duration(s)
	if day := 24 * time.Hour; d > 0 && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Duration is the span as the standard library knows it.
func (s Span) Duration() time.Duration { return time.Duration(s) }

// SchemaPattern is the regular expression of the text form, for the JSON Schema.
func (Span) SchemaPattern() string { return `^([0-9]+d|([0-9]+(\.[0-9]+)?(ms|s|m|h))+|0)$` }

// Rate is how often something may happen: Count times Per. It is written as "50/s",
// "600/m" or "1000/h". The zero Rate is no limit set.
type Rate struct {
	Count int64
	Per   time.Duration
}

// UnmarshalText parses a rate of 1 to 1,000,000,000 a second, minute or hour.
func (r *Rate) UnmarshalText(b []byte) error {
	count, per, _ := strings.Cut(string(b), "/")
	d, ok := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[per]
	n, err := strconv.ParseInt(count, 10, 64)
	if !ok || err != nil || n < 1 || n > 1e9 {
		return fmt.Errorf("not a rate: want a whole number of at least 1 per s, m or h, such as 50/s")
	}
	*r = Rate{Count: n, Per: d}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String is the text form, "" for the zero Rate.
func (r Rate) String() string {
	switch r.Per {
	case time.Second:
		return fmt.Sprintf("%d/s", r.Count)
	case time.Minute:
		return fmt.Sprintf("%d/m", r.Count)
	case time.Hour:
		return fmt.Sprintf("%d/h", r.Count)
	}
	return ""
}

// IsZero says that no rate is set.
func (r Rate) IsZero() bool { return r == Rate{} }

// PerSecond is the rate in events per second.
func (r Rate) PerSecond() float64 {
	if r.Per == 0 {
		return 0
	}
	return float64(r.Count) / r.Per.Seconds()
}

// SchemaPattern is the regular expression of the text form, for the JSON Schema.
func (Rate) SchemaPattern() string { return `^[1-9][0-9]*/(s|m|h)$` }
