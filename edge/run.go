package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Run serves until ctx ends, then drains: /readyz turns 503, new connections are taken
// for drain_delay more, running requests end within drain, and what is left (event
// streams, WebSockets) is closed. It returns nil then, and an error when a socket
// cannot be opened or a listener fails. It can be called once.
func (e *Edge) Run(ctx context.Context) error {
	e.deps.Health.Report("edge", true, errStarting)
	if err := e.Listen(); err != nil {
		e.deps.Health.Report("edge", true, err)
		return err
	}
	// Requests outlive ctx: the end of it is the beginning of the drain.
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var wg sync.WaitGroup
	stopCertificates := e.startCertificates(base, &wg)
	servers := e.servers(base)
	failures := make(chan error, len(servers))
	for _, s := range servers {
		wg.Go(func() {
			if err := s.serve(); !errors.Is(err, http.ErrServerClosed) {
				failures <- fmt.Errorf("edge.%s: %w", s.name, err)
			}
		})
	}
	e.deps.Health.Report("edge", true, nil)
	close(e.ready)
	e.deps.Log.Info("listening", "https", e.bound.addrs.HTTPS, "http", e.bound.addrs.HTTP, "ops", e.bound.addrs.Ops)

	var failure error
	select {
	case <-ctx.Done():
		e.deps.Health.Report("edge", true, errDraining)
		time.Sleep(e.current.Load().DrainDelay.Duration())
	case failure = <-failures:
		e.deps.Health.Report("edge", true, failure)
	}
	e.drain(base, end, servers)
	stopCertificates()
	wg.Wait()
	return failure
}

// drain ends the public servers, and ops last, so that /readyz tells what is going on to
// the end.
func (e *Edge) drain(base context.Context, end context.CancelFunc, servers []*server) {
	patience, cancel := context.WithTimeout(base, e.current.Load().Drain.Duration())
	defer cancel()
	e.deps.Log.Info("draining", "requests", e.work.running.Load(), "at_most", e.current.Load().Drain)
	var wg sync.WaitGroup
	for _, s := range servers {
		if s.name == "ops" {
			continue
		}
		wg.Go(func() {
			if err := s.Shutdown(patience); err != nil {
				s.Close()
			}
		})
	}
	wg.Wait()
	cut := e.room.closeAll()
	end()
	for deadline := time.Now().Add(e.settleTime); e.work.running.Load() > 0 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	e.deps.Log.Info("drained", "connections_cut", cut, "handlers_left", e.work.running.Load())
	for _, s := range servers {
		s.Close()
	}
}

// startCertificates begins to keep certificates; the function that it returns ends it.
func (e *Edge) startCertificates(ctx context.Context, wg *sync.WaitGroup) (stop func()) {
	m := e.certs
	at := e.bound.addrs
	challenge := challengePorts{https: int(at.HTTPS.Port()), http: int(at.HTTP.Port())}
	challenge.host, _, _ = splitListen(e.started.HTTPS)
	e.mu.Lock() // a reload waits until there is something to change
	defer e.mu.Unlock()
	m.start(ctx, e.started.TLS, e.storage, e.ca, e.roots, challenge)
	m.follow(e.hosts.Load())
	if m.source == "local_ca" {
		m.first.Wait() // a signature each: so the first handshake finds its certificate
	}
	tending, cancel := context.WithCancel(ctx)
	wg.Go(func() { m.tend(tending) })
	if m.source == "certificates" {
		m.replacePairs(ctx, func(p []*pair) []*pair { return p })
		wg.Go(func() { m.watchFiles(tending) })
	}
	m.report()
	return func() {
		cancel()
		m.stop()
	}
}

// server is one listener's http.Server.
type server struct {
	http.Server
	name  string
	serve func() error
}

func (e *Edge) servers(base context.Context) []*server {
	t := e.started.Timeouts
	common := func(name string, h http.Handler) *server {
		return &server{name: name, Server: http.Server{
			Handler: h, ReadHeaderTimeout: t.ReadHeader.Duration(), IdleTimeout: t.Idle.Duration(),
			MaxHeaderBytes: int(e.started.MaxHeader), Protocols: new(http.Protocols),
			DisableGeneralOptionsHandler: true, // "OPTIONS *" is for the handler to refuse, not for net/http to answer
			BaseContext:                  func(net.Listener) context.Context { return base },
			ErrorLog:                     slog.NewLogLogger(serverLog{e.deps.Log.Handler(), name}, slog.LevelWarn),
		}}
	}
	b := e.bound
	https := common("https", e.work)
	https.TLSConfig = e.tlsConfig()
	https.Protocols.SetHTTP1(true)
	https.Protocols.SetHTTP2(true)
	https.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: e.started.MaxStreams, WriteByteTimeout: t.WriteStall.Duration()}
	https.serve = func() error { return https.ServeTLS(listener{b.https, e.room}, "", "") }
	servers := []*server{https}

	if b.http != nil {
		p := &plain{hosts: e.hosts.Load, port: e.publicPort, requests: e.redirects}
		if e.certs.acme != nil {
			p.challenge = e.certs.acme.HandleHTTPChallenge
		}
		plain := common("http", p)
		plain.Protocols.SetHTTP1(true)
		plain.MaxHeaderBytes = min(plain.MaxHeaderBytes, 8<<10)
		plain.ReadTimeout, plain.WriteTimeout = t.ReadHeader.Duration(), t.ReadHeader.Duration()
		plain.SetKeepAlivesEnabled(false)
		plain.serve = func() error { return plain.Serve(listener{b.http, e.room}) }
		servers = append(servers, plain)
	}
	if b.ops != nil {
		ops := common("ops", e.deps.Ops)
		ops.Protocols.SetHTTP1(true)
		ops.ReadTimeout = t.ReadHeader.Duration()
		ops.WriteTimeout = 2 * time.Minute // a CPU profile takes 30 s by default
		ops.serve = func() error { return ops.Serve(listener{b.ops, e.opsRoom}) }
		servers = append(servers, ops)
	}
	return servers
}

// serverLog takes what http.Server logs. A handshake that failed is the client's affair
// and anybody can cause as many as they like, so it is worth a line at debug only.
type serverLog struct {
	slog.Handler
	name string
}

// Handle implements slog.Handler.
func (l serverLog) Handle(ctx context.Context, r slog.Record) error {
	level := slog.LevelWarn
	switch {
	case strings.HasPrefix(r.Message, "http: TLS handshake error"):
		level = slog.LevelDebug
	case strings.HasPrefix(r.Message, "http: panic serving"):
		level = slog.LevelError
	}
	if !l.Enabled(ctx, level) {
		return nil
	}
	named := slog.NewRecord(r.Time, level, r.Message, 0)
	named.AddAttrs(slog.String("listener", l.name))
	return l.Handler.Handle(ctx, named)
}
