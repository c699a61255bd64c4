package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitFine   = 0
	exitFailed = 1 // the command could not do what it was asked
	exitUsage  = 2 // a mistake in the command line or the configuration
)

// errUsage is wrapped by mistakes in the command line or the configuration.
var errUsage = errors.New("usage")

// errSaid is wrapped by errors that have been printed already.
var errSaid = errors.New("said")

// run is main without the process: it gives the exit code.
func run(args []string, in io.Reader, out, err io.Writer) int {
	// net/http writes what a backend sends unasked to the standard log: somebody's data.
	// Nothing of ours uses that log.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(err)
	failure := root.ExecuteContext(ctx)
	switch {
	case failure == nil:
		return exitFine
	case !errors.Is(failure, errSaid):
		fmt.Fprintf(err, "sallyport: %v\n", failure)
	}
	if errors.Is(failure, errUsage) {
		return exitUsage
	}
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "sallyport",
		Short: "A security gateway in front of an unmodified web application",
		Long: "Sallyport terminates TLS in front of an application and lets a request through only when it is sure:\n" +
			"who is asking, for which tenant, whether they may, how often, and that it is no attack. It writes down every change.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.AddCommand(newServe(), newCheck(), newInit(), newDemo(), newVersion())
	return root
}

// configFlag adds --config.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", "sallyport.yaml", "the configuration `file`")
}
