// Package cli is the command line: one file per command.
//
// It promises stable exit codes (exit.go), tables for people and JSON or YAML for
// scripts, and errors of one line that name the next step. Commands reach the cluster
// through client/, like any stranger's program; it refuses to know more than they do.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// App is what every command shares.
type App struct {
	In       io.Reader
	Out, Err io.Writer
	Env      func(string) string
	// Version is printed by agora version and sent as User-Agent.
	Version string

	master   string
	marathon string
	output   string

	agents   *agentURLs // nil: not remembered
	security security
}

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, app *App, args []string) int {
	root := app.Root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code, text := explain(err)
	if text != "" {
		fmt.Fprintln(app.Err, "agora: "+text)
	}
	return code
}

// NewApp returns an App on the process's own streams.
func NewApp(version string) *App {
	return &App{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Version: version}
}

// Root builds the command tree.
func (a *App) Root() *cobra.Command {
	a.agents = &agentURLs{known: map[string]string{}}
	root := &cobra.Command{
		Use:   "agora",
		Short: "Many Linux machines as one computer",
		Long: `Agora runs containers on a set of Linux machines, with the APIs of Apache Mesos and Marathon.

  agora dev --demo           a whole cluster on this machine, with something running on it
  agora run builtin/demo     run an image, see its output, end with its exit status
  agora ps                   what is running
  agora logs -f TASK         its output`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v; see %s --help", err, cmd.CommandPath())
	})
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if strings.HasPrefix(a.master, "https://") || a.Env != nil && strings.HasPrefix(a.Env("AGORA_MASTER"), "https://") {
			a.security.tls = true
		}
		return a.security.complete(a.Env)
	}
	flags := root.PersistentFlags()
	a.security.flags(flags)
	flags.StringVar(&a.master, "master", "", "address of a master, HOST:PORT (default $AGORA_MASTER, else 127.0.0.1:5050)")
	flags.StringVar(&a.marathon, "marathon", "", "address of the orchestrator (default $AGORA_MARATHON, else asked from the master)")
	root.AddGroup(
		&cobra.Group{ID: "use", Title: "Run and look:"},
		&cobra.Group{ID: "cluster", Title: "The cluster:"},
		&cobra.Group{ID: "role", Title: "Roles of this machine:"})
	root.SetHelpCommandGroupID("cluster")
	root.SetCompletionCommandGroupID("cluster")
	a.add(root, "use", a.runCommand, a.psCommand, a.logsCommand, a.postmortemCommand, a.execCommand, a.attachCommand, a.copyCommand, a.forwardCommand, a.topCommand,
		a.killCommand, a.scaleCommand)
	a.add(root, "cluster", a.nodeCommand, a.maintenanceCommand, a.clusterRoleCommand, a.quotaCommand, a.weightCommand, a.whyCommand, a.reservationCommand, a.volumeCommand, a.frameworkCommand,
		a.offerCommand, a.eventsCommand, a.apiCommand, a.imageCommand, a.simulateCommand, a.versionCommand)
	a.addRoles(root)
	return root
}

func (a *App) add(root *cobra.Command, group string, commands ...func() *cobra.Command) {
	for _, make := range commands {
		command := make()
		command.GroupID = group
		root.AddCommand(command)
	}
}
