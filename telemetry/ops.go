package telemetry

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler is the ops listener's handler: /livez, /readyz, /metrics and /debug/pprof/,
// nothing else. It asks nobody who they are: whoever reaches the listener may read it,
// so the listener belongs on loopback or a private network. pprof, which can slow the
// process down and shows its insides, answers loopback alone wherever that is.
func (t *Telemetry) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		noStore(w, "text/plain; charset=utf-8")
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", t.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{
		// A scrape costs CPU and memory in proportion to the rows: bound how many run.
		MaxRequestsInFlight: 4, Timeout: 30 * time.Second, EnableOpenMetrics: true, Registry: t.registry}))
	// Registered one by one: importing net/http/pprof fills http.DefaultServeMux, which
	// nothing here ever serves.
	for pattern, serve := range map[string]http.HandlerFunc{
		"GET /debug/pprof/": pprof.Index, "GET /debug/pprof/cmdline": pprof.Cmdline, "GET /debug/pprof/profile": pprof.Profile,
		"GET /debug/pprof/symbol": pprof.Symbol, "GET /debug/pprof/trace": pprof.Trace,
	} {
		mux.HandleFunc(pattern, loopbackOnly(serve))
	}
	return mux
}

func (t *Telemetry) readyz(w http.ResponseWriter, _ *http.Request) {
	report := t.Health()
	noStore(w, "application/json")
	if !report.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(report) // the only error is a client that has gone
}

// loopbackOnly refuses every other peer, and every other Host: a page in a browser on
// this machine can reach loopback under a name of its own (DNS rebinding).
func loopbackOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !peer.Addr().Unmap().IsLoopback() || !loopbackHost(r.Host) {
			noStore(w, "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, "Profiles are shown to loopback alone. Use an SSH tunnel or kubectl port-forward, and the address 127.0.0.1.\n")
			return
		}
		next(w, r)
	}
}

func loopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if host == "localhost" {
		return true
	}
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func noStore(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}
