package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStringNeverPrints(t *testing.T) {
	s := New("hunter2")
	wrapped := struct{ Password String }{s}
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "s", s, "w", wrapped)
	js, err := json.Marshal(map[string]any{"s": s, "w": wrapped, "p": &s})
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s),
		fmt.Sprintf("%v %+v %#v", wrapped, wrapped, wrapped), string(js), logged.String(),
	} {
		if strings.Contains(out, "hunter2") || strings.Contains(out, "68756e746572") {
			t.Errorf("the secret shows: %s", out)
		}
	}
}

func TestStringEqual(t *testing.T) {
	if !New("a").Equal("a") || New("a").Equal("b") || New("a").Equal("ab") {
		t.Error("Equal does not compare contents")
	}
	if New("").Equal("") {
		t.Error("an unset secret equals an empty text: it would open a door")
	}
}

func TestRef(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SALLYPORT_TEST_SECRET", "from env")
	t.Setenv("SALLYPORT_TEST_EMPTY", "")
	for _, c := range []struct {
		ref, want string
		parses    bool
	}{
		{"env:SALLYPORT_TEST_SECRET", "from env", true},
		{"file:" + file, "s3cret", true},
		{"env:SALLYPORT_TEST_EMPTY", "", true},
		{"file:" + big, "", true},
		{"file:" + dir + "/missing", "", true},
		{"", "", true},
		{"file:relative", "", false},
		{"plain secret", "", false},
		{"env:", "", false},
	} {
		ref, err := ParseRef(c.ref)
		if (err == nil) != c.parses {
			t.Errorf("ParseRef(%q): %v, want success %v", c.ref, err, c.parses)
			continue
		}
		if err != nil && strings.Contains(err.Error(), c.ref) && c.ref != "env:" {
			t.Errorf("ParseRef(%q) repeats what may be a secret: %v", c.ref, err)
		}
		if !c.parses {
			continue
		}
		got, err := ref.Resolve()
		if got.Reveal() != c.want || (err == nil) != (c.want != "") {
			t.Errorf("Resolve(%q) = %q, %v; want %q", c.ref, got.Reveal(), err, c.want)
		}
	}
}

func TestSealOpensOnlyForItsRowPurposeAndKey(t *testing.T) {
	m := NewMasterKey()
	again, err := ParseMasterKey(m.Text())
	if err != nil {
		t.Fatal(err)
	}
	box := m.Sealer("a").Seal([]byte("plain"), "row 1")
	if got, err := again.Sealer("a").Open(box, "row 1"); err != nil || string(got) != "plain" {
		t.Fatalf("Open = %q, %v", got, err)
	}
	changed := bytes.Clone(box)
	changed[len(changed)-1] ^= 1
	for name, open := range map[string]func() ([]byte, error){
		"another row":        func() ([]byte, error) { return m.Sealer("a").Open(box, "row 2") },
		"another purpose":    func() ([]byte, error) { return m.Sealer("b").Open(box, "row 1") },
		"another master key": func() ([]byte, error) { return NewMasterKey().Sealer("a").Open(box, "row 1") },
		"a changed box":      func() ([]byte, error) { return m.Sealer("a").Open(changed, "row 1") },
		"a cut box":          func() ([]byte, error) { return m.Sealer("a").Open(box[:10], "row 1") },
		"an empty box":       func() ([]byte, error) { return m.Sealer("a").Open(nil, "row 1") },
	} {
		if got, err := open(); !errors.Is(err, ErrSealed) || got != nil {
			t.Errorf("%s: got %q, %v; want ErrSealed", name, got, err)
		}
	}
	if bytes.Contains(box, []byte("plain")) {
		t.Error("the box shows its content")
	}
}

func TestParseMasterKeyRefusesShortKeys(t *testing.T) {
	for _, text := range []string{"", "c2hvcnQ=", "not base64!", strings.Repeat("A", 100)} {
		if _, err := ParseMasterKey(New(text)); err == nil {
			t.Errorf("ParseMasterKey(%q) succeeded", text)
		}
	}
}
