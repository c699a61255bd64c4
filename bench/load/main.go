// Load is the load generator: it keeps a number of requests in flight and looks at every
// byte of every answer. It is lean on purpose: a proxy must never have to wait for it,
// for a proxy that sleeps and wakes costs several times what a busy one costs.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/sallyport/sallyport/bench/job"
)

func main() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	g := &generator{open: map[string][]conn{}}
	for {
		var j job.Job
		if in.Decode(&j) != nil {
			return // the benchmark has ended
		}
		conns, err := g.connections(j)
		var ready job.Ready
		if err == nil {
			ready.Requests, err = drive(conns, j, time.Now().Add(j.Warm), 0)
		}
		ready.Failure = text(err)
		if err := out.Encode(ready); err != nil {
			log.Fatal(err)
		}
		var start bool
		if in.Decode(&start) != nil {
			return
		}
		var result job.Result
		begin := time.Now()
		if err == nil {
			result.Requests, err = drive(conns, j, begin.Add(j.For), 1<<40)
		}
		result.Took, result.Failure = time.Since(begin), text(err)
		if err := out.Encode(result); err != nil {
			log.Fatal(err)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// conn makes requests until the deadline, at least one, and says how many were answered as
// they should be.
type conn interface {
	run(j job.Job, deadline time.Time, n uint64) (int, error)
}

type generator struct{ open map[string][]conn }

// streamsPerConnection is how many requests an HTTP/2 connection has in flight.
const streamsPerConnection = 4

// connections are kept open between jobs: handshakes are not what is measured.
func (g *generator) connections(j job.Job) ([]conn, error) {
	key := fmt.Sprint(j.Addr, j.HTTP2, j.Connections)
	if list := g.open[key]; list != nil {
		return list, nil
	}
	pem, err := os.ReadFile(j.Roots)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{ServerName: job.Host, RootCAs: x509.NewCertPool(), NextProtos: []string{"http/1.1"}}
	cfg.RootCAs.AppendCertsFromPEM(pem)
	many := j.Connections
	if j.HTTP2 {
		cfg.NextProtos = []string{"h2"}
		many = j.Connections / streamsPerConnection
	}
	var list []conn
	for range many {
		socket, err := tls.Dial("tcp", j.Addr, cfg)
		if err != nil {
			return nil, err
		}
		if got := socket.ConnectionState().NegotiatedProtocol; got != cfg.NextProtos[0] {
			return nil, fmt.Errorf("the proxy speaks %q, want %q", got, cfg.NextProtos[0])
		}
		if !j.HTTP2 {
			list = append(list, newHTTP1(socket))
			continue
		}
		c, err := newHTTP2(socket)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	g.open[key] = list
	return list, nil
}

// drive runs all connections until the deadline. from keeps the numbers of the requests, and
// with them their values, apart.
func drive(conns []conn, j job.Job, deadline time.Time, from uint64) (int, error) {
	var wg sync.WaitGroup
	done, errs := make([]int, len(conns)), make([]error, len(conns))
	for i, c := range conns {
		wg.Go(func() { done[i], errs[i] = c.run(j, deadline, from+uint64(i)<<24) })
	}
	wg.Wait()
	total := 0
	for _, n := range done {
		total += n
	}
	return total, errors.Join(errs...)
}

// check compares the answer to the n-th request with what the backend must have said.
func check(j job.Job, n uint64, status string, body, want []byte) error {
	if status == "200" && bytes.Equal(body, want) {
		return nil
	}
	asked := fmt.Sprintf("%s %s", j.Kind.Target(j.Seed, n), j.Kind.Body(j.Seed, n))
	if status != "200" {
		return fmt.Errorf("%s: status %s to %.1500s: %.300s", j.Kind, status, asked, body)
	}
	return fmt.Errorf("%s: the answer to %.1500s is %.200q, want %.200q", j.Kind, asked, body, want)
}

func length(body []byte) string { return strconv.Itoa(len(body)) }
