// Floor is the least that a reverse proxy in Go costs: net/http and httputil.ReverseProxy with
// Rewrite, a tuned Transport, a pool of 32 KiB buffers, TLS, and nothing else. It asks nobody
// who they are, checks nothing and writes nothing down.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

func main() {
	cert := flag.String("cert", "", "certificate `file`")
	key := flag.String("key", "", "key `file`")
	to := flag.String("upstream", "", "`URL` of the backend")
	flag.Parse()
	upstream, err := url.Parse(*to)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	server := &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(upstream)
			pr.Out.Host = pr.In.Host
		},
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 512, // the default of 2 would open a connection for nearly every request
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true,
		},
		BufferPool: new(buffers),
	}}
	log.Fatal(server.ServeTLS(listener, *cert, *key))
}

const bufferSize = 32 << 10

type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return new([bufferSize]byte)[:]
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put((*[bufferSize]byte)(p)) }
