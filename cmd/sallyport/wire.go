package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/audit"
	"github.com/sallyport/sallyport/authn"
	"github.com/sallyport/sallyport/authn/oidc"
	"github.com/sallyport/sallyport/authn/portal"
	"github.com/sallyport/sallyport/authn/session"
	"github.com/sallyport/sallyport/configs"
	"github.com/sallyport/sallyport/directory"
	"github.com/sallyport/sallyport/edge"
	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/operation"
	"github.com/sallyport/sallyport/policy"
	"github.com/sallyport/sallyport/proxy"
	"github.com/sallyport/sallyport/ratelimit"
	"github.com/sallyport/sallyport/secret"
	"github.com/sallyport/sallyport/store"
	"github.com/sallyport/sallyport/telemetry"
	"github.com/sallyport/sallyport/waf"
	"github.com/sallyport/sallyport/web"
	"golang.org/x/sync/errgroup"
)

// Runtime is what lives as long as the process. Sessions, bans and limits, the journal,
// streams and sockets survive every reload because they are here.
type Runtime struct {
	log       *slog.Logger
	level     *slog.LevelVar
	telemetry *telemetry.Telemetry
	reloads   observe.Counter
	db        *store.DB
	master    *secret.MasterKey
	sessions  *authn.Sessions
	oidc      *oidc.Runtime
	journal   *audit.Log
	flood     *ratelimit.Flood
	quota     *ratelimit.Quota
	spool     *operation.Spool
	streams   *proxy.Streams
	jar       *proxy.Jar
	gateway   *proxy.Gateway
	edge      *edge.Edge
	current   atomic.Pointer[Plan]
}

// Plan is one configuration, ready to serve: immutable, built aside, swapped whole.
type Plan struct {
	loaded    *configs.Loaded
	directory *directory.Directory
	waf       *waf.Engine
	policy    *policy.Engine
	corridor  *proxy.Plan
}

func (p *Plan) hash() string { return p.loaded.Hash }

// hosts are the names of all sites, in the order of the file.
func (p *Plan) hosts() []string { return hostsOf(p.loaded.Tree) }

func hostsOf(tree configs.Tree) (hosts []string) {
	for _, s := range tree.Proxy.Sites {
		hosts = append(hosts, s.Hosts...)
	}
	return hosts
}

// close frees what a plan holds. Call it when its last request has ended.
func (p *Plan) close() {
	p.corridor.Close()
	p.waf.Close()
}

// newRuntime opens the stores and builds every room and the first Plan; it serves nothing yet.
// What it opened is closed again when it fails.
func newRuntime(ctx context.Context, loaded *configs.Loaded, logTo io.Writer) (rt *Runtime, err error) {
	tree := loaded.Tree
	rt = &Runtime{streams: proxy.NewStreams(), gateway: new(proxy.Gateway)}
	rt.log, rt.level = telemetry.NewLogger(logTo, tree.Telemetry.Log)
	rt.telemetry = telemetry.New(build(), time.Now)
	rt.telemetry.Expect("edge", "sessions", "audit", "waf", "policy", "store")
	rt.reloads = rt.telemetry.Counter("sallyport_reloads_total", "Reloads of the configuration.", "result")
	if err := rt.openStores(ctx, tree); err != nil {
		return nil, err
	}
	db := rt.db // a return of nil takes rt away
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	if err := rt.buildRooms(tree); err != nil {
		return nil, err
	}
	// Before the sockets open: a session can be judged only by who knows which have ended.
	if err := rt.sessions.Sync(ctx); err != nil {
		return nil, fmt.Errorf("read keys and ended sessions: %w", err)
	}
	first, err := rt.plan(ctx, loaded)
	if err != nil {
		return nil, err
	}
	rt.edge, err = edge.New(tree.Edge, edge.Deps{
		Handler: rt.gateway, Ops: rt.telemetry.Handler(), Sealer: rt.master.Sealer("edge/certificates"),
		Meter: rt.telemetry, Health: rt.telemetry, Log: rt.log, Now: time.Now,
		Hosts: func() []string { return hostsOf(tree) },
	})
	if err != nil {
		first.close()
		return nil, err
	}
	if err := rt.showRoot(tree.Edge.TLS.Storage); err != nil {
		first.close()
		return nil, err
	}
	rt.adopt(first)
	return rt, nil
}

// showRoot writes the local authority's certificate, which is public, beside what it keeps
// sealed: browsers and curl are told to trust it.
func (rt *Runtime) showRoot(dir string) error {
	pem := rt.edge.RootPEM()
	if pem == nil {
		return nil
	}
	path := filepath.Join(dir, "local_ca.pem")
	if err := os.WriteFile(path, pem, 0o644); err != nil {
		return fmt.Errorf("write the local authority's certificate: %w", err)
	}
	rt.log.Info("certificates are of a local authority", "trust", path)
	return nil
}

func (rt *Runtime) openStores(ctx context.Context, tree configs.Tree) error {
	key, err := tree.Store.MasterKey.Resolve()
	if err != nil {
		return fmt.Errorf("store.master_key: %w", err)
	}
	if rt.master, err = secret.ParseMasterKey(key); err != nil {
		return fmt.Errorf("store.master_key: %w", err)
	}
	if rt.db, err = store.Open(ctx, tree.Store); err != nil {
		return err
	}
	if err := rt.db.Migrate(ctx, session.Owner, session.Migrations()); err != nil {
		rt.db.Close()
		return err
	}
	return nil
}

// buildRooms makes the rooms that live as long as the process.
func (rt *Runtime) buildRooms(tree configs.Tree) (err error) {
	t := rt.telemetry
	if rt.journal, err = audit.New(audit.Options{Config: tree.Audit, Meter: t, Health: t, Logger: rt.log}); err != nil {
		return err
	}
	kept := session.New(rt.db.SQL(), rt.master)
	rt.sessions, err = authn.New(authn.Deps{
		Config: tree.Authn.Config, Environment: tree.Environment, MasterKey: rt.master, Store: kept, Ends: kept, Keys: kept,
		Admit: rt.admit, Reused: rt.reused, Log: rt.log, Meter: t, Health: t,
	})
	if err != nil {
		return err
	}
	rt.oidc, err = oidc.NewRuntime(oidc.Options{Sealer: rt.master.Sealer("authn/oidc"), Meter: t, Log: rt.log})
	if err != nil {
		return err
	}
	limits := ratelimit.Deps{Meter: t, Health: t, Log: rt.log}
	rt.flood, rt.quota = ratelimit.NewFlood(tree.Ratelimit, limits), ratelimit.NewQuota(tree.Ratelimit, limits)
	rt.spool = operation.NewSpool(tree.Operation, t)
	rt.jar = proxy.NewJar(0, 0)
	// Logout is logout: what is open under a login is cut with it.
	rt.sessions.OnRevoke(rt.streams.Cut)
	rt.sessions.OnRevoke(rt.jar.Forget)
	return nil
}

// plan builds everything that a configuration decides. It touches nothing that serves.
func (rt *Runtime) plan(ctx context.Context, loaded *configs.Loaded) (p *Plan, err error) {
	tree := loaded.Tree
	p = &Plan{loaded: loaded}
	if p.directory, err = directory.New(tree.Directory); err != nil {
		return nil, err
	}
	pages, err := web.New(tree.Web)
	if err != nil {
		return nil, err
	}
	providers, err := rt.oidc.Build(tree.Authn.OIDC, p.directory)
	if err != nil {
		return nil, err
	}
	bodies, err := operation.New(tree.Operation, operation.Deps{Spool: rt.spool})
	if err != nil {
		return nil, err
	}
	if p.policy, err = policy.New(ctx, tree.Policy, policy.Deps{Meter: rt.telemetry, Log: rt.log}); err != nil {
		return nil, err
	}
	if p.waf, err = waf.New(tree.WAF, waf.Deps{Meter: rt.telemetry, Log: rt.log}); err != nil {
		return nil, err
	}
	// A known attack is fired through the rules that will serve: a WAF that is silently off
	// is worse than none.
	if err = p.waf.SelfTest(ctx); err != nil {
		p.waf.Close()
		return nil, fmt.Errorf("the WAF does not find a known attack: %w", err)
	}
	entrance, err := portal.New(tree.Authn.Portal, portal.Rooms{
		Providers: providers, Sessions: rt.sessions, Directory: p.directory, Pages: pages, Log: rt.log,
	})
	if err != nil {
		return nil, err
	}
	endpoints := slices.Concat(rt.sessions.Endpoints(), entrance.Endpoints(), wellKnown(tree.Web))
	p.corridor, err = proxy.NewPlan(tree.Proxy, proxy.Rooms{
		TrustedProxies: tree.Edge.TrustedProxies,
		Flood:          rt.flood, WAF: p.waf, Authn: rt.sessions, Quota: rt.quota, Bodies: bodies, Policy: p.policy,
		Audit: rt.journal, Asserter: rt.sessions, Endpoints: endpoints, Pages: pages,
		Streams: rt.streams, Jar: rt.jar, Seal: rt.master.Sealer("proxy/cookies"), Meter: rt.telemetry, Log: rt.log,
	})
	if err != nil {
		p.waf.Close()
		return nil, err
	}
	return p, nil
}

// active is the Plan that serves; nil before the first.
func (rt *Runtime) active() *Plan { return rt.current.Load() }

// adopt makes a Plan the one that serves, and closes the one before when its last request
// has ended.
func (rt *Runtime) adopt(next *Plan) {
	tree := next.loaded.Tree
	rt.flood.Configure(tree.Ratelimit)
	rt.quota.Configure(tree.Ratelimit)
	rt.level.Set(tree.Telemetry.Log.Least())
	old := rt.current.Swap(next)
	rt.gateway.Swap(next.corridor)
	rt.telemetry.SetActive(next.hash(), next.policy.Revision())
	rt.telemetry.Report("waf", true, nil)
	rt.telemetry.Report("policy", true, nil)
	rt.log.Info("configuration active", "hash", next.hash(), "policy", next.policy.Revision(), "environment", tree.Environment, "sites", len(tree.Proxy.Sites))
	if old != nil {
		go func() {
			<-old.corridor.Idle()
			old.close()
		}()
	}
}

// run serves until ctx ends: first the sockets are drained, then what they needed is stopped.
func (rt *Runtime) run(ctx context.Context, src source) error {
	below, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	rooms, below := errgroup.WithContext(below)
	rooms.Go(func() error { return rt.journal.Run(below) })
	rooms.Go(func() error { return rt.sessions.Run(below) })
	rooms.Go(func() error { return rt.watchStore(below) })
	rooms.Go(func() error {
		return src.changes(below, rt.active().hash(), func(why string) { rt.reload(below, src, why) })
	})
	serving, halt := context.WithCancel(ctx)
	defer halt()
	go func() { // a room that ends takes the sockets with it: closed
		<-below.Done()
		halt()
	}()
	err := rt.edge.Run(serving)
	rt.streams.CutAll() // what the drain has not ended: sockets that are WebSockets now
	stop()
	err = errors.Join(err, rooms.Wait())
	rt.active().close()
	return errors.Join(err, rt.db.Close())
}

// watchStore asks the database for a sign of life, for /readyz.
func (rt *Runtime) watchStore(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, 2*time.Second)
		rt.telemetry.Report("store", true, rt.db.Ping(asking))
		cancel()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
