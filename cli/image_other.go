//go:build !linux

package cli

import "github.com/spf13/cobra"

// addImageVerbs adds one command that says where images are: stores exist on Linux only.
func (a *App) addImageVerbs(cmd *cobra.Command) {
	cmd.RunE = func(*cobra.Command, []string) error {
		return exitf(ExitFailure, "images are kept on the Linux machines of the cluster; run this there")
	}
}
