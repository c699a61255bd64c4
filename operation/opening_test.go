package operation

import "testing"

func TestAnObjectBehindScalarsIsFound(t *testing.T) {
	for text, want := range map[string]bool{
		`{"a":1}`: true, ` [1]`: true, `0{"a":1}`: true, "1\n2\n{}": true, `"x" "\"y" {`: true, "null[": true, "\x1e{}": true,
		`Dear {name}`: false, `see [1]`: false, "aaaa[": false, "truetrue{": true, `-1e5 false[`: true, `plain text`: false, `42`: false, `"quoted {text}"`: false, ``: false, `<a>{`: false,
	} {
		var whole, bytewise opening
		got, _ := whole.feed([]byte(text))
		if got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
		for i := range len(text) {
			if begins, undecided := bytewise.feed([]byte{text[i]}); !undecided {
				if begins != want {
					t.Errorf("%q byte by byte: %v, want %v", text, begins, want)
				}
				break
			}
		}
	}
}
