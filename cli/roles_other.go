//go:build !linux

package cli

import "github.com/spf13/cobra"

// addRoles adds nothing: masters and agents run on Linux.
func (a *App) addRoles(*cobra.Command) {}
