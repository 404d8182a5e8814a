package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"agora.dev/agora/internal/flags"
	"agora.dev/agora/internal/journal"
)

// role is a command whose flags are written as Mesos's: --name=value, --no-name, MESOS_NAME, file://.
type role struct {
	use, short, example string
	flags               *flags.Set
	// environment begins the names of its variables; empty: MESOS_.
	environment string
	// journal are the options of its log, which flags fills.
	journal *journal.Options
	// run does the work until ctx ends.
	run func(ctx context.Context, log *journal.Log) error
}

func (a *App) roleCommand(r role) *cobra.Command {
	set := r.flags
	cmd := &cobra.Command{
		Use:                r.use,
		Short:              r.short,
		Example:            r.example,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
				return cmd.Help()
			}
			if slices.Contains(args, "--version") {
				fmt.Fprintf(a.Out, "agora %s, Mesos API %s\n", a.Version, MesosVersion)
				return nil
			}
			rest, err := set.Parse(args, os.Environ())
			if err != nil {
				return usagef("%v", err)
			}
			if len(rest) > 0 {
				return usagef("unexpected argument %q; options are written --name=value", rest[0])
			}
			log, err := r.journal.Open(r.use, a.Err)
			if err != nil {
				return usagef("%v", err)
			}
			defer log.Close()
			for _, f := range set.Idle() {
				log.Info("option has no effect", "option", "--"+f.Name, "because", f.Help)
			}
			return r.run(cmd.Context(), log)
		},
	}
	cmd.SetHelpFunc(func(*cobra.Command, []string) {
		fmt.Fprintf(a.Out, "%s\n\nUsage:\n  agora %s [--name=value ...]\n\nExample:\n%s\n\nOptions, also as %sNAME in the environment, also as --name=file:///path:\n%s",
			r.short, r.use, r.example, cmp.Or(r.environment, "MESOS_"), set.Usage())
	})
	return cmd
}
