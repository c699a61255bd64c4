package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/spf13/cobra"
)

// demoPort is where the demo listens when the port is free and none is asked for.
const demoPort = 8443

func newDemo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a gateway with everything: an application, an identity provider, attacks to try",
		Long: "Demo runs the gateway in front of a small CRM that has no security of its own, with an identity provider for each of\n" +
			"three tenants. It needs no configuration and no network, prints addresses, passwords and attacks to try, and shows\n" +
			"audit events as they are written. Everything is in a temporary folder, which is removed at the end.",
		Args: noArgs,
	}
	port := cmd.Flags().Int("port", demoPort, "the port of https://"+demoHost+"; 0 takes any that is free")
	asJSON := cmd.Flags().Bool("json", false, "print the facts as one line of JSON, then each audit event as one")
	verbose := cmd.Flags().BoolP("verbose", "v", false, "print the gateway's log to the terminal as well")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *port < 0 || *port > 65535 {
			return fmt.Errorf("%w: %d is not a port", errUsage, *port)
		}
		if !cmd.Flags().Changed("port") {
			*port = freePort(*port)
		}
		logTo := io.Discard
		if *verbose {
			logTo = cmd.ErrOrStderr()
		}
		return runDemo(cmd.Context(), *port, *asJSON, cmd.OutOrStdout(), logTo)
	}
	return cmd
}

// freePort gives the port if it is free, and otherwise 0: one command must do.
func freePort(port int) int {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0
	}
	ln.Close()
	return port
}

func runDemo(ctx context.Context, port int, asJSON bool, out, logTo io.Writer) error {
	h, err := startDemo(ctx, port, logTo)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer h.close()
	following, stop := context.WithCancel(ctx)
	defer stop()
	events := h.rt.journal.Tail(following, demoBacklog)
	if asJSON {
		err = json.NewEncoder(out).Encode(h.facts())
	} else {
		err = printDemo(out, h.facts())
	}
	if err != nil {
		return err
	}
	followDemo(out, events, asJSON)
	return h.wait()
}
