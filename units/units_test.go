package units

import (
	"encoding"
	"regexp"
	"testing"
	"time"
)

func TestUnitsParsePrintAndMatchTheirPattern(t *testing.T) {
	for _, c := range []struct {
		text string
		into encoding.TextUnmarshaler
		want any
	}{
		{"0", new(Size), Size(0)}, {"512", new(Size), Size(512)}, {"10MiB", new(Size), 10 * MiB}, {"1GiB", new(Size), GiB},
		{"1h", new(Span), Span(time.Hour)}, {"1h30m", new(Span), Span(90 * time.Minute)}, {"90d", new(Span), Span(90 * 24 * time.Hour)},
		{"300ms", new(Span), Span(300 * time.Millisecond)}, {"5m", new(Span), Span(5 * time.Minute)},
		{"50/s", new(Rate), Rate{50, time.Second}}, {"600/m", new(Rate), Rate{600, time.Minute}},
	} {
		if err := c.into.UnmarshalText([]byte(c.text)); err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		var got any
		switch v := c.into.(type) {
		case *Size:
			got = *v
		case *Span:
			got = *v
		case *Rate:
			got = *v
		}
		if got != c.want {
			t.Errorf("%q = %v, want %v", c.text, got, c.want)
		}
		back, _ := got.(encoding.TextMarshaler).MarshalText()
		if string(back) != c.text {
			t.Errorf("%q prints as %q", c.text, back)
		}
		pattern := got.(interface{ SchemaPattern() string }).SchemaPattern()
		if !regexp.MustCompile(pattern).MatchString(c.text) {
			t.Errorf("%q does not match its schema pattern %s", c.text, pattern)
		}
	}
}

func TestUnitsRefuse(t *testing.T) {
	for _, c := range []struct {
		text string
		into encoding.TextUnmarshaler
	}{
		{"-1", new(Size)}, {"10MB", new(Size)}, {"9223372036854775807GiB", new(Size)}, {"", new(Size)}, {"1.5MiB", new(Size)},
		{"-1s", new(Span)}, {"10", new(Span)}, {"", new(Span)}, {"1y", new(Span)}, {"99999999d", new(Span)},
		{"0/s", new(Rate)}, {"5", new(Rate)}, {"5/d", new(Rate)}, {"", new(Rate)}, {"-5/s", new(Rate)},
	} {
		if err := c.into.UnmarshalText([]byte(c.text)); err == nil {
			t.Errorf("%T accepts %q", c.into, c.text)
		}
	}
}
