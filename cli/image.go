package cli

import (
	"github.com/spf13/cobra"
)

func (a *App) imageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "image",
		Aliases: []string{"images"},
		Short:   "Images in the store of this machine",
		Long: `Images in the store of this machine: the one that agora dev uses, or --store.

An agent pulls what its tasks name by itself; load and pull bring an image in beforehand, prune asks the agents.`,
		Args: cobra.NoArgs,
		RunE: needVerb,
	}
	cmd.AddCommand(a.imagePrune())
	a.addImageVerbs(cmd)
	return cmd
}
