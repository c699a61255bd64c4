package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/bench/job"
)

const answerTimeout = 30 * time.Second

// http1 is one connection with one request at a time.
type http1 struct {
	socket *tls.Conn
	r      *bufio.Reader
	body   []byte
}

func newHTTP1(socket *tls.Conn) *http1 {
	return &http1{socket: socket, r: bufio.NewReaderSize(socket, 16<<10)}
}

func (c *http1) run(j job.Job, deadline time.Time, n uint64) (int, error) {
	var request, want []byte
	for done := 0; ; done, n = done+1, n+1 {
		if done > 0 && !time.Now().Before(deadline) {
			return done, nil
		}
		if request == nil || !j.Kind.Fixed() {
			body := j.Kind.Body(j.Seed, n)
			request = message(request[:0], j, n, body)
			if want == nil || body != nil {
				want = j.Kind.Answer(j.Tenant, body)
			}
		}
		if done%64 == 0 {
			c.socket.SetDeadline(time.Now().Add(answerTimeout))
		}
		if _, err := c.socket.Write(request); err != nil {
			return done, err
		}
		status, err := c.answer()
		if err == nil {
			err = check(j, n, status, c.body, want)
		}
		if err != nil {
			return done, err
		}
	}
}

func message(b []byte, j job.Job, n uint64, body []byte) []byte {
	method := "GET"
	if body != nil {
		method = "POST"
	}
	b = fmt.Appendf(b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, j.Kind.Target(j.Seed, n), job.Host)
	for _, h := range j.Kind.Headers() {
		b = append(append(append(append(b, h[0]...), ": "...), h[1]...), "\r\n"...)
	}
	if j.Cookie != "" {
		b = append(append(append(b, "Cookie: "...), j.Cookie...), "\r\n"...)
	}
	if body != nil {
		b = append(append(append(b, "Content-Length: "...), length(body)...), "\r\n"...)
	}
	return append(append(b, "\r\n"...), body...)
}

// answer reads one answer; its body is in c.body until the next.
func (c *http1) answer() (status string, err error) {
	size := -1
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if status == "" {
			if len(line) < 12 || string(line[:9]) != "HTTP/1.1 " {
				return "", fmt.Errorf("not an answer: %.100q", line)
			}
			status = "200"
			if string(line[9:12]) != status {
				status = string(line[9:12])
			}
			continue
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if size, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return "", err
			}
		}
	}
	if size < 0 {
		return "", errors.New("an answer of status " + status + " without a length")
	}
	if cap(c.body) < size {
		c.body = make([]byte, size)
	}
	c.body = c.body[:size]
	_, err = io.ReadFull(c.r, c.body)
	return status, err
}
