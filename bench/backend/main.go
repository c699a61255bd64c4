// Backend is the application behind the proxies. It speaks just enough HTTP/1.1 to be cheaper
// than any of them, for it shares a core with the load generator and must not be what limits.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strconv"

	"github.com/sallyport/sallyport/bench/job"
)

const maxBody = 1 << 20 // bytes

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	pages := map[string][]byte{}
	for _, tenant := range []string{job.Tenant, job.NoTenant} {
		pages[tenant] = answer(job.Page(tenant))
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer conn.Close()
			r := bufio.NewReaderSize(conn, 16<<10)
			for {
				tenant, body, err := read(r)
				if err != nil {
					if !errors.Is(err, io.EOF) {
						log.Print(err)
					}
					return
				}
				reply := pages[tenant]
				if body != nil || reply == nil {
					reply = answer(job.Receipt(tenant, body))
				}
				if _, err := conn.Write(reply); err != nil {
					return
				}
			}
		}()
	}
}

func answer(body []byte) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: private, no-cache\r\nServer: Backend/1.0\r\n"+
		"Date: Sun, 22 Nov 2026 00:00:00 GMT\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// read takes one request: the tenant that its header names, and its body; nil for none.
func read(r *bufio.Reader) (tenant string, body []byte, err error) {
	tenant = job.NoTenant
	size := 0
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return "", nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 && !first {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("X-Tenant-ID")):
			tenant = string(bytes.TrimSpace(value))
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return "", nil, errors.New("a request in chunks: every body of the load has a length")
		case bytes.EqualFold(name, []byte("Content-Length")):
			if size, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil || size < 0 || size > maxBody {
				return "", nil, fmt.Errorf("content length %q", value)
			}
		}
	}
	if size > 0 {
		body = make([]byte, size)
		if _, err := io.ReadFull(r, body); err != nil {
			return "", nil, err
		}
	}
	return tenant, body, nil
}
