package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/bench/job"
)

// backend answers as the real one does, unless change makes it do otherwise.
func backend(t *testing.T, change func(w http.ResponseWriter, answer []byte) []byte) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		answer := job.Page(job.Tenant)
		if r.Method == http.MethodPost {
			answer = job.Receipt(job.Tenant, body)
		}
		if r.Header.Get("Cookie") != "a=1; b=2" {
			answer = []byte("the cookies are " + r.Header.Get("Cookie"))
		}
		if change != nil {
			answer = change(w, answer)
		}
		w.Write(answer)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func connect(t *testing.T, s *httptest.Server, protocol string) conn {
	t.Helper()
	cfg := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	cfg.NextProtos = []string{protocol}
	cfg.ServerName = "example.com" // a name of httptest's certificate
	socket, err := tls.Dial("tcp", s.Listener.Addr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	if protocol == "http/1.1" {
		return newHTTP1(socket)
	}
	c, err := newHTTP2(socket)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryKindIsAnsweredOverBothProtocols(t *testing.T) {
	s := backend(t, nil)
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := connect(t, s, protocol)
		for i, kind := range []job.Kind{job.Get, job.GetQuery, job.Post, job.PostNew} {
			j := job.Job{Kind: kind, Tenant: job.Tenant, Cookie: "a=1; b=2", Seed: uint64(i)}
			done, err := c.run(j, time.Now().Add(50*time.Millisecond), 0)
			if err != nil || done < 2 {
				t.Errorf("%s, %s: %d requests, %v", protocol, kind, done, err)
			}
			if done, err := c.run(j, time.Time{}, 0); err != nil || done < 1 {
				t.Errorf("%s, %s: %d requests after the deadline, want one at least: %v", protocol, kind, done, err)
			}
		}
	}
}

func TestAWrongAnswerEndsTheJob(t *testing.T) {
	for name, change := range map[string]func(w http.ResponseWriter, answer []byte) []byte{
		"another status": func(w http.ResponseWriter, answer []byte) []byte { w.WriteHeader(http.StatusForbidden); return answer },
		"one byte changed": func(_ http.ResponseWriter, answer []byte) []byte {
			answer[len(answer)/2] ^= 1
			return answer
		},
		"another tenant": func(_ http.ResponseWriter, answer []byte) []byte {
			return []byte(strings.Replace(string(answer), job.Tenant, "evil", 1))
		},
		"half an answer": func(_ http.ResponseWriter, answer []byte) []byte { return answer[:len(answer)/2] },
	} {
		s := backend(t, change)
		for _, protocol := range []string{"http/1.1", "h2"} {
			for _, kind := range []job.Kind{job.Get, job.PostNew} {
				j := job.Job{Kind: kind, Tenant: job.Tenant, Cookie: "a=1; b=2"}
				if done, err := connect(t, s, protocol).run(j, time.Now().Add(time.Second), 0); err == nil || done != 0 {
					t.Errorf("%s, %s, %s: %d requests, no error", name, protocol, kind, done)
				}
			}
		}
	}
}
