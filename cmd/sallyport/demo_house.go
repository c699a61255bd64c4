package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"text/template"
	"time"

	"github.com/sallyport/sallyport/configs"
	"github.com/sallyport/sallyport/demo"
	"github.com/sallyport/sallyport/secret"
	"golang.org/x/sync/errgroup"
)

const (
	// demoHost is the name of the site. Browsers and curl look up names below localhost
	// on the machine itself (RFC 6761, section 6.3).
	demoHost = "crm.localhost"
	// demoPatience is how long the start may take.
	demoPatience = 30 * time.Second
)

//go:embed demo.yaml.tmpl
var demoTemplate string

// demoHouse is the running demo: application, identity provider and the same Runtime as
// `serve` has, in a temporary folder.
type demoHouse struct {
	dir    string
	origin string // https://crm.localhost:8443
	idp    *demo.IdP
	app    *http.Server
	idpSrv *http.Server
	rt     *Runtime
	log    *os.File
	stop   context.CancelFunc
	group  *errgroup.Group
	addrs  struct{ app, idp string }
}

// startDemo starts everything, and logs in the people whose cookies the printed lines use.
// Call close at the end.
func startDemo(ctx context.Context, port int, logTo io.Writer) (*demoHouse, error) {
	ctx, stop := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	h := &demoHouse{stop: stop, group: group}
	if err := h.start(ctx, port, logTo); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *demoHouse) start(ctx context.Context, port int, logTo io.Writer) (err error) {
	if h.dir, err = os.MkdirTemp("", "sallyport-demo-"); err != nil {
		return err
	}
	if err := h.startApps(); err != nil {
		return err
	}
	file, err := h.writeFiles(port)
	if err != nil {
		return err
	}
	loaded, err := configs.Load(file)
	if err != nil {
		return err
	}
	if h.log, err = os.OpenFile(h.path("gateway.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	rt, err := newRuntime(ctx, loaded, io.MultiWriter(h.log, logTo))
	if err != nil {
		return err
	}
	if err := rt.edge.Listen(); err != nil { // the port is known from here on
		return errors.Join(fmt.Errorf("%w; choose another with --port", err), rt.db.Close())
	}
	h.origin = "https://" + demoHost
	if at := rt.edge.Addrs().HTTPS.Port(); at != 443 {
		h.origin += ":" + strconv.Itoa(int(at))
	}
	h.idp.Register([]string{h.origin + "/.sallyport/oidc/callback"}, []string{h.origin + "/.sallyport/loggedout"})
	h.rt = rt
	h.group.Go(func() error {
		defer h.stopApps() // after the gateway has drained
		return rt.run(ctx, watchFile(file, rt.log))
	})
	if err := os.WriteFile(h.path("ca.pem"), rt.edge.RootPEM(), 0o600); err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	if err := h.ready(starting); err != nil {
		return err
	}
	return h.logInAll(starting)
}

func (h *demoHouse) path(name string) string { return filepath.Join(h.dir, name) }

// startApps starts the application and the identity provider on ports of their own. They
// never leave the machine.
func (h *demoHouse) startApps() error {
	crm, err := demo.NewCRM(time.Now)
	if err != nil {
		return err
	}
	if h.app, h.addrs.app, err = h.serve(func(string) (http.Handler, error) { return crm, nil }); err != nil {
		return err
	}
	h.idpSrv, h.addrs.idp, err = h.serve(func(base string) (http.Handler, error) {
		h.idp, err = demo.NewIdP(base, time.Now)
		return h.idp, err
	})
	return err
}

func (h *demoHouse) serve(build func(base string) (http.Handler, error)) (*http.Server, string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	base := "http://" + ln.Addr().String()
	handler, err := build(base)
	if err != nil {
		ln.Close()
		return nil, "", err
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	h.group.Go(func() error {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return srv, base, nil
}

// demoTenant is a tenant as the configuration names it.
type demoTenant struct {
	demo.Tenant
	Client demo.Client
}

// writeFiles writes the keys, apart from the data, and the configuration.
func (h *demoHouse) writeFiles(port int) (file string, err error) {
	for _, dir := range []string{"data", "keys"} {
		if err := os.Mkdir(h.path(dir), 0o700); err != nil {
			return "", err
		}
	}
	if err := os.WriteFile(h.path("keys/master.key"), []byte(secret.NewMasterKey().Text().Reveal()), 0o600); err != nil {
		return "", err
	}
	var tenants []demoTenant
	for _, t := range demo.Tenants() {
		client := h.idp.Client(t.ID)
		tenants = append(tenants, demoTenant{t, client})
		if err := os.WriteFile(h.path("keys/"+t.ID+".client"), []byte(client.Secret), 0o600); err != nil {
			return "", err
		}
	}
	page, err := template.New("demo.yaml").Parse(demoTemplate)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	err = page.Execute(&text, map[string]any{
		"Port": port, "Dir": h.dir, "Host": demoHost, "App": h.addrs.app, "Tenants": tenants, "Kinds": demo.Resources(),
	})
	if err != nil {
		return "", err
	}
	file = h.path("sallyport.yaml")
	return file, os.WriteFile(file, text.Bytes(), 0o600)
}

// ready waits until /readyz says yes.
func (h *demoHouse) ready(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		err := func() error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.rt.edge.Addrs().Ops.String()+"/readyz", nil)
			if err != nil {
				return err
			}
			res, err := client.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			if res.StatusCode != http.StatusOK {
				text, _ := io.ReadAll(io.LimitReader(res.Body, 4096)) // what can be read of it explains
				return fmt.Errorf("/readyz says %d: %s", res.StatusCode, text)
			}
			return nil
		}()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the gateway is not ready: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// wait returns when the demo has ended.
func (h *demoHouse) wait() error { return h.group.Wait() }

// stopApps ends the application and the identity provider.
func (h *demoHouse) stopApps() {
	for _, srv := range []*http.Server{h.app, h.idpSrv} {
		if srv != nil {
			srv.Close()
		}
	}
}

// close ends the demo and removes its folder.
func (h *demoHouse) close() {
	h.stop()
	if h.rt == nil { // otherwise they end with the gateway
		h.stopApps()
	}
	h.group.Wait() // its error has been told by wait
	if h.log != nil {
		h.log.Close()
	}
	if h.dir != "" {
		os.RemoveAll(h.dir)
	}
}
