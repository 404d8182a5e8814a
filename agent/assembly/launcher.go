package assembly

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"agora.dev/agora/agent"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/oci"
	"agora.dev/agora/agent/launcher/remote"
	"agora.dev/agora/internal/autogroup"
)

// held is an open launcher. close lets its process run on, stop ends it.
type held struct {
	launcher launcher.Launcher
	close    func() error
	stop     func(context.Context) error
}

// open connects to the launcher of the agent's work directory, and starts it when there
// is none. One that runs another program than this is replaced in place.
func open(ctx context.Context, config agent.Config, log *slog.Logger) (*held, error) {
	dir := filepath.Join(runtimeDir(config), "launcher")
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program to start the launcher: %w", err)
	}
	command := append([]string{self, "launcher"}, remote.Arguments(dir, config.RecoveryTimeout)...)
	socket, warning, err := config.SystemdSocket(ctx)
	if err != nil {
		return nil, err
	}
	if warning != nil {
		log.Warn("the launcher gets no scope of systemd's", "error", warning)
	}
	if socket != "" {
		command = append(command, remote.InScope(socket, "agora-launcher-"+name(config.WorkDir))...)
	}
	if config.Launcher == "oci" {
		// The runtime is looked for here too, where somebody reads the error.
		runtime, err := oci.Find(config.OCIRuntime)
		if err != nil {
			return nil, err
		}
		if config.UsernsRange != "" {
			if err := oci.CheckUsers(ctx, runtime); err != nil {
				return nil, err
			}
		}
		command = append(command, "--oci", "--oci_runtime="+runtime)
	}
	k, err := remote.Keep(ctx, dir, command...)
	if err != nil {
		return nil, err
	}
	replaced, err := k.Upgrade(ctx)
	switch {
	case err != nil:
		lacks, _ := k.Lacks(ctx)
		log.Warn("the launcher goes on with the program that it has", "error", err, "lacks", strings.Join(lacks, "; "))
	case replaced:
		log.Info("launcher upgraded in place")
	}
	return &held{launcher: k, close: k.Close, stop: k.Stop}, nil
}

// Launcher runs the launcher role and returns its exit code.
func Launcher(args []string) int {
	autogroup.Raise()
	return remote.Command(args, os.Stderr)
}

// missing lists what containers do not have on this machine.
func missing() []string { return linux.Probe().Missing }
