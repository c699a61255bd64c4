package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/sallyport/sallyport/configs"
	"github.com/sallyport/sallyport/proxy"
	"github.com/spf13/cobra"
)

func newCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration and show what it means",
		Long:  "Check reports everything that is wrong with a configuration at once, each with line and hint, and shows the gates,\nsites, routes and certificates that it means. It changes nothing and asks no network.",
		Args:  noArgs,
	}
	file := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	schema := cmd.Flags().Bool("schema", false, "print the JSON Schema of the configuration and stop")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		out := cmd.OutOrStdout()
		if *schema {
			_, err := out.Write(configs.Schema())
			return err
		}
		loaded, err := configs.Load(*file)
		if *asJSON {
			return checkJSON(out, *file, loaded, err)
		}
		if err != nil {
			return showFindings(cmd.ErrOrStderr(), err)
		}
		for _, w := range loaded.Warnings {
			fmt.Fprintln(cmd.ErrOrStderr(), w)
		}
		return checkText(out, *file, loaded)
	}
	return cmd
}

// showFindings prints why a configuration cannot be used, and gives the error that says so.
func showFindings(w io.Writer, err error) error {
	var findings configs.Findings
	if !errors.As(err, &findings) {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	for _, f := range findings {
		fmt.Fprintln(w, f)
	}
	fmt.Fprintf(w, "%d errors\n", len(findings))
	return fmt.Errorf("%w: %w", errUsage, errSaid)
}

// checked is what `check --json` prints.
type checked struct {
	File     string            `json:"file"`
	OK       bool              `json:"ok"`
	Hash     string            `json:"hash,omitempty"`
	Findings configs.Findings  `json:"findings"`
	Gates    []proxy.GateInfo  `json:"gates,omitempty"`
	Routes   []proxy.RouteInfo `json:"routes,omitempty"`
}

func checkJSON(out io.Writer, file string, loaded *configs.Loaded, err error) error {
	result := checked{File: file, Findings: configs.Findings{}}
	switch {
	case errors.As(err, &result.Findings):
	case err != nil:
		return fmt.Errorf("%w: %w", errUsage, err)
	default:
		result.OK, result.Hash = true, loaded.Hash
		result.Findings = append(result.Findings, loaded.Warnings...)
		result.Gates, result.Routes = proxy.Corridor(), proxy.Routes(loaded.Tree.Proxy)
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(result); err != nil {
		return err
	}
	if !result.OK {
		return fmt.Errorf("%w: %w", errUsage, errSaid)
	}
	return nil
}

func checkText(out io.Writer, file string, loaded *configs.Loaded) error {
	tree := loaded.Tree
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s is fine (%s, hash %s)\n\n", file, tree.Environment, loaded.Hash)
	fmt.Fprintf(w, "GATE\tON\tWHEN\tWHY HERE\n")
	for i, g := range proxy.Corridor() {
		fmt.Fprintf(w, "%d %s\t%s\t%s\t%s\n", i+1, g.Name, g.On, g.When, g.Why)
	}
	fmt.Fprintf(w, "\nSITE\tHOST\tCERTIFICATE\tUPSTREAM\n")
	for _, s := range tree.Proxy.Sites {
		upstreams := strings.Join(s.Upstreams, " ")
		if len(s.Tenant.Upstreams) > 0 {
			upstreams = fmt.Sprintf("one for each of %d tenants", len(s.Tenant.Upstreams))
		}
		for _, host := range s.Hosts {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Name, host, tree.Edge.TLS.Source(), upstreams)
		}
	}
	fmt.Fprintf(w, "\nROUTE\tCLASS\tRESOURCE\tHOW THE ACTION IS FOUND\n")
	for _, r := range proxy.Routes(tree.Proxy) {
		fmt.Fprintf(w, "%s %s\t%s\t%s\t%s\n", r.Site, r.Pattern, r.Class, r.Resource, r.Action)
	}
	fmt.Fprintf(w, "\n%d tenants, %d identity providers, %d warnings\n", len(tree.Directory.Tenants), len(tree.Authn.OIDC), len(loaded.Warnings))
	return w.Flush()
}
