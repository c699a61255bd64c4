package main

import (
	"encoding/json"
	"fmt"
	"runtime/debug"

	"github.com/sallyport/sallyport/telemetry"
	"github.com/spf13/cobra"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version = "dev"

// build says which program this is.
func build() telemetry.Build {
	b := telemetry.Build{Version: version}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Go = info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	return b
}

func newVersion() *cobra.Command {
	cmd := &cobra.Command{Use: "version", Short: "Print the version", Args: noArgs}
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b := build()
		if *asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(b)
		}
		text := "sallyport " + b.Version
		if b.Commit != "" {
			text += " (" + b.Commit + ")"
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s, %s\n", text, b.Go)
		return err
	}
	return cmd
}

func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return nil
}
