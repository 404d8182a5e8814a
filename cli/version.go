package cli

import (
	"runtime"

	"github.com/spf13/cobra"
)

// MesosVersion is the version of the Mesos API that Agora speaks.
const MesosVersion = "1.11.0"

func (a *App) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary and of the API it speaks",
		Example: "  agora version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			platform := runtime.GOOS + "/" + runtime.GOARCH
			return a.print(table{
				Columns: []string{"AGORA", "MESOS API", "GO", "PLATFORM"},
				Rows:    [][]string{{a.Version, MesosVersion, runtime.Version(), platform}},
				Value: map[string]string{"version": a.Version, "mesos_version": MesosVersion,
					"go_version": runtime.Version(), "platform": platform},
			})
		},
	}
	a.addOutput(cmd)
	return cmd
}
