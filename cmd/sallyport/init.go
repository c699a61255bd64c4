package main

import (
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/sallyport/sallyport/configs"
	"github.com/sallyport/sallyport/secret"
	"github.com/spf13/cobra"
)

//go:embed init.yaml.tmpl
var initTemplate string

// initFacts is what the template needs. All of it is checked before.
type initFacts struct {
	Upstream, Host, IdP, ACME, Tenant, Data, Key string
	Ports                                        bool // unprivileged ports
}

func newInit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init --upstream URL --host NAME",
		Short: "Write a commented sallyport.yaml for an application of your own",
		Long:  "Init writes a commented sallyport.yaml and a master key beside it, and overwrites neither.",
		Example: "  sallyport init --upstream http://127.0.0.1:8080 --host crm.localhost --idp https://login.example.com\n" +
			"  sallyport init --upstream https://10.0.0.5:8443 --host crm.example.com --idp https://login.example.com --acme ops@example.com",
		Args: noArgs,
	}
	var f initFacts
	flags := cmd.Flags()
	flags.StringVar(&f.Upstream, "upstream", "", "`address` of the application, such as http://127.0.0.1:8080 (required)")
	flags.StringVar(&f.Host, "host", "", "host `name` under which people will reach it (required)")
	flags.StringVar(&f.IdP, "idp", "", "issuer `URL` of your OpenID Connect provider")
	flags.StringVar(&f.ACME, "acme", "", "`e-mail` for certificates from Let's Encrypt; without it a local authority for development is used")
	flags.StringVar(&f.Tenant, "tenant", "main", "`id` of the first tenant")
	dir := flags.String("dir", ".", "`folder` to write to")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		folder, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		f.Data, f.Key, f.Ports = filepath.Join(folder, "data"), filepath.Join(folder, "master.key"), f.ACME == ""
		if err := f.check(); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		return f.write(cmd, folder)
	}
	return cmd
}

func (f initFacts) check() error {
	var errs []error
	for name, text := range map[string]string{"--upstream": f.Upstream, "--idp": f.IdP} {
		u, err := url.Parse(text)
		if text == "" && name == "--idp" {
			continue
		}
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			errs = append(errs, fmt.Errorf("%s needs an address such as https://10.0.0.5:8443", name))
		}
	}
	if f.Host == "" {
		errs = append(errs, errors.New("--host needs a name such as crm.example.com"))
	}
	for _, text := range []string{f.Upstream, f.Host, f.IdP, f.ACME, f.Tenant, f.Data, f.Key} {
		if strings.ContainsAny(text, "\"\\\n\r") {
			errs = append(errs, fmt.Errorf("%q holds a character that YAML would need quoting for", text))
		}
	}
	return errors.Join(errs...)
}

func (f initFacts) write(cmd *cobra.Command, folder string) error {
	var text strings.Builder
	t, err := template.New("init").Parse(initTemplate)
	if err != nil {
		return err
	}
	if err := t.Execute(&text, f); err != nil {
		return err
	}
	file := filepath.Join(folder, "sallyport.yaml")
	loaded, err := configs.Parse(file, []byte(text.String()))
	if err != nil { // what the flags say does not make a configuration
		return showFindings(cmd.ErrOrStderr(), err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := writeNew(file, text.String(), 0o644); err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "wrote %s\n", file)
	switch err := writeNew(f.Key, secret.NewMasterKey().Text().Reveal()+"\n", 0o600); {
	case errors.Is(err, os.ErrExist):
		fmt.Fprintf(out, "kept  %s\n", f.Key)
	case err != nil:
		return err
	default:
		fmt.Fprintf(out, "wrote %s: keep a copy where no backup of the data goes\n", f.Key)
	}
	for _, w := range loaded.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), w)
	}
	fmt.Fprintf(out, "\nNext:\n  1. Open %s and fill in what is marked.\n  2. sallyport check --config %s\n  3. sallyport serve --config %s\n", file, file, file)
	return nil
}

// writeNew writes a file that must not exist.
func writeNew(path, text string, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
