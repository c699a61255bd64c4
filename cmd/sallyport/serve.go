package main

import (
	"fmt"

	"github.com/sallyport/sallyport/configs"
	"github.com/spf13/cobra"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long:  "Serve runs the gateway until SIGTERM or SIGINT, and then lets running requests finish. A change of the configuration\nfile, or SIGHUP, reloads it: built aside, swapped whole; on an error the old one goes on.",
		Args:  noArgs,
	}
	file := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := configs.Load(*file)
		if err != nil {
			return showFindings(cmd.ErrOrStderr(), err)
		}
		for _, w := range loaded.Warnings {
			fmt.Fprintln(cmd.ErrOrStderr(), w)
		}
		rt, err := newRuntime(cmd.Context(), loaded, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		return rt.run(cmd.Context(), watchFile(*file, rt.log))
	}
	return cmd
}
