package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// words splits a line as a shell does, as far as our lines need: blanks and single quotes.
func words(t *testing.T, line string) (all []string) {
	t.Helper()
	if strings.ContainsAny(line, "\"$`&|;<>\\") && strings.ContainsAny(strings.Join(odd(strings.Split(line, "'")), ""), "\"$`&|;<>\\") {
		t.Fatalf("the line means something else to a shell: %s", line)
	}
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			all = append(all, part)
			continue
		}
		all = append(all, strings.Fields(part)...)
	}
	return all
}

// odd keeps what stands outside of quotes.
func odd(parts []string) (outside []string) {
	for i := 0; i < len(parts); i += 2 {
		outside = append(outside, parts[i])
	}
	return outside
}

// runLine does what curl would do with a line.
func runLine(t *testing.T, h *demoHouse, line string) (int, string) {
	t.Helper()
	all := words(t, line)
	if all[0] != "curl" {
		t.Fatalf("not a curl line: %s", line)
	}
	method, target, body := "", "", ""
	header := http.Header{}
	addHeader := func(text string) {
		name, value, _ := strings.Cut(text, ": ")
		header[http.CanonicalHeaderKey(name)] = append(header[http.CanonicalHeaderKey(name)], value)
	}
	for i := 1; i < len(all); i++ {
		switch option := all[i]; option {
		case "-sS", "--path-as-is": // Go leaves a path as it is
		case "-K":
			i++
			options := curlFile(t, h.path(all[i]))
			addHeader(options["header"])
			header["Cookie"] = []string{jarCookies(t, options["cookie"])}
			if options["cacert"] != h.path("ca.pem") {
				t.Errorf("%s trusts %q", all[i], options["cacert"])
			}
		case "-X":
			i++
			method = all[i]
		case "-H":
			i++
			addHeader(all[i])
		case "-d":
			i++
			body = all[i]
		case "-b":
			i++
			header["Cookie"] = []string{jarCookies(t, h.path(all[i]))}
		case "--cacert":
			i++
		default:
			if strings.HasPrefix(option, "-") || target != "" {
				t.Fatalf("the test does not know %q in: %s", option, line)
			}
			target = option
		}
	}
	if method == "" {
		method = map[bool]string{true: http.MethodPost, false: http.MethodGet}[body != ""]
	}
	client, err := h.visitor()
	if err != nil {
		t.Fatal(err)
	}
	client.Jar, client.CheckRedirect = nil, func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

func curlFile(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	options := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " = "); ok {
			if options[name], err = strconv.Unquote(value); err != nil {
				t.Fatalf("%s: %s", path, line)
			}
		}
	}
	return options
}

// jarCookies reads a cookie jar and gives the Cookie header.
func jarCookies(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(strings.TrimSpace(line), "\t"); len(fields) == 7 {
			pairs = append(pairs, fields[5]+"="+fields[6])
		}
	}
	if len(pairs) == 0 {
		t.Fatalf("%s holds no cookie:\n%s", path, text)
	}
	return strings.Join(pairs, "; ")
}

// curlLine runs a line in a shell, in the demo's folder.
func curlLine(t *testing.T, h *demoHouse, line string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line+` -w '\n%{http_code}\n'`)
	cmd.Dir = h.dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.Contains(strings.ToLower(s), "_proxy=") }), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	text := strings.TrimRight(string(out), "\n")
	cut := strings.LastIndexByte(text, '\n')
	status, err := strconv.Atoi(text[cut+1:])
	if err != nil {
		t.Fatalf("%s: no status in %q", line, text)
	}
	return status, strings.TrimSpace(text[:max(cut, 0)])
}
