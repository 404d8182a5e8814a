package remote

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"
	"time"
)

// RecoveryTimeout is how long containers outlive their agent when nothing else is said
// (Mesos --recovery_timeout).
const RecoveryTimeout = 15 * time.Minute

// Arguments returns the arguments with which Command serves dir, for Ensure.
func Arguments(dir string, abandoned time.Duration) []string {
	return []string{"--dir=" + dir, "--recovery_timeout=" + abandoned.String()}
}

// InScope are more arguments, with which it has a scope of systemd's: the socket where systemd
// answers, and what the scope's name begins with.
func InScope(socket, prefix string) []string {
	return []string{"--systemd_socket=" + socket, "--systemd_scope=" + prefix}
}

// Command is the launcher's role of the binary. It returns the process's exit code.
func Command(args []string, stderr io.Writer) int { return command(args, stderr, Options{}) }

func command(args []string, stderr io.Writer, o Options) int {
	flags := flag.NewFlagSet("launcher", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", "", "directory of the socket and the records")
	abandoned := flags.Duration("recovery_timeout", RecoveryTimeout, "destroy the containers when no agent has come back for this long; 0 for never")
	useOCI := flags.Bool("oci", false, "start containers with an installed OCI runtime")
	runtime := flags.String("oci_runtime", "", "its name or path; default: the first of runc and crun that is found")
	socket := flags.String("systemd_socket", "", "where systemd is asked for a scope; empty for none")
	scope := flags.String("systemd_scope", "", "what the scope's name begins with")
	handover := flags.Int("handover", 0, "descriptor of what the program before has left; made by an upgrade")
	prove := flags.Int("prove", 0, "descriptor of what would be left: say whether it can be read, and end")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *dir == "" || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "launcher: --dir is needed, and nothing else")
		return 2
	}
	if *prove != 0 {
		if err := proveReadable(*prove, *dir); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		return 0
	}
	o.Log = slog.New(slog.NewTextHandler(stderr, nil))
	o.Socket, o.Scope = *socket, *scope
	o.Dir, o.Abandoned, o.OCI, o.Runtime, o.Handover = *dir, *abandoned, *useOCI, *runtime, *handover
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := Main(ctx, o); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
