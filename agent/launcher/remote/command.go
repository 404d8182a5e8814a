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

// Command is the launcher's role of the binary. It returns the process's exit code.
func Command(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("launcher", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", "", "directory of the socket and the records")
	abandoned := flags.Duration("recovery_timeout", RecoveryTimeout, "destroy the containers when no agent has come back for this long; 0 for never")
	useOCI := flags.Bool("oci", false, "start containers with an installed OCI runtime")
	runtime := flags.String("oci_runtime", "", "its name or path; default: the first of runc and crun that is found")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *dir == "" || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "launcher: --dir is needed, and nothing else")
		return 2
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := Main(ctx, Options{Dir: *dir, Abandoned: *abandoned, OCI: *useOCI, Runtime: *runtime, Log: log}); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
