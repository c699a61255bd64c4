package archtest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the import rules of .golangci.yml anew")

const (
	lintFile  = "../.golangci.yml"
	rulesFrom = "        # Made from archtest/doors.go and homes.go by: go test ./archtest -run TestLinter -update\n"
	rulesTo   = "        # End of what is made.\n"
)

// The linter shows in an editor what these tests refuse. It must not say anything else.
func TestLinterKnowsTheSameDoorsAndHomes(t *testing.T) {
	text, err := os.ReadFile(lintFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), rulesFrom)
	got, after, ok2 := strings.Cut(rest, rulesTo)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the import rules, between\n%s%s", lintFile, rulesFrom, rulesTo)
	}
	want := lintRules()
	if got == want {
		return
	}
	if *update {
		if err := os.WriteFile(lintFile, []byte(before+rulesFrom+want+rulesTo+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	for _, line := range wantLines {
		if !slices.Contains(gotLines, line) {
			t.Errorf("%s lacks: %s", lintFile, strings.TrimSpace(line))
		}
	}
	for _, line := range gotLines {
		if !slices.Contains(wantLines, line) {
			t.Errorf("%s has: %s", lintFile, strings.TrimSpace(line))
		}
	}
	t.Errorf("run `go test ./archtest -run TestLinter -update`")
}

// lintRules gives depguard's rules: one for each package and library, which says who alone
// may import it; one for the ground floor; and one that knows all libraries.
func lintRules() string {
	var b strings.Builder
	rule := func(name, mode string, files, allow []string, deny, why string) {
		fmt.Fprintf(&b, "        %s:\n          list-mode: %s\n          files: [%s]\n", name, mode, quoted(files))
		if len(allow) > 0 {
			fmt.Fprintf(&b, "          allow: [%s]\n", quoted(allow))
		}
		if deny != "" {
			fmt.Fprintf(&b, "          deny: [{pkg: %q, desc: %q}]\n", deny, why)
		}
	}
	floor := []string{"$gostd"}
	var here []string
	for _, pkg := range slices.Sorted(maps.Keys(ground)) {
		here = append(here, "**/"+pkg+"/*.go")
		floor = append(floor, module+pkg)
	}
	rule("ground-floor", "strict", here, floor, "", "")
	libraries := append([]string{"$gostd", "go/", strings.TrimSuffix(module, "/")}, slices.Sorted(maps.Keys(homes))...)
	rule("libraries", "strict", []string{"$all", "!**/bench/**", "!**/e2e/**"}, libraries, "", "")
	for _, target := range slices.Sorted(maps.Keys(rooms)) {
		var files []string
		for _, from := range importersOf(target) {
			files = append(files, "!**/"+from+"/*.go")
		}
		for _, from := range slices.Sorted(maps.Keys(testDoors)) {
			if slices.Contains(testDoors[from], target) {
				files = append(files, "!**/"+from+"/*_test.go")
			}
		}
		rule("room-"+strings.ReplaceAll(target, "/", "-"), "lax", files, nil, module+target+"$", "there is no door from here to "+target)
	}
	for _, lib := range slices.Sorted(maps.Keys(homes)) {
		name := "library-" + strings.NewReplacer("/", "-", ".", "-").Replace(lib)
		if slices.Contains(homes[lib], "*") {
			allow, why := []string(nil), "for tests alone"
			if lib == "golang.org/x/sync" {
				allow, why = []string{lib + "/errgroup", lib + "/singleflight"}, "errgroup and singleflight alone"
			}
			rule(name, "lax", []string{"$all", "!$test"}, allow, lib, why)
			continue
		}
		var files []string
		for _, home := range homes[lib] {
			files = append(files, "!**/"+home+"/*.go")
		}
		rule(name, "lax", append(files, "!**/bench/**", "!**/e2e/**"), nil, lib, "lives in "+strings.Join(homes[lib], ", "))
	}
	return b.String()
}

// importersOf lists the packages that may import a room, itself included.
func importersOf(target string) (from []string) {
	for _, floor := range []map[string][]string{rooms, upstairs} {
		for pkg := range floor {
			if mayImport(pkg, target) {
				from = append(from, pkg)
			}
		}
	}
	slices.Sort(from)
	return from
}

func quoted(list []string) string {
	var all []string
	for _, s := range list {
		all = append(all, fmt.Sprintf("%q", s))
	}
	return strings.Join(all, ", ")
}
