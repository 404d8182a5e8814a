package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"agora.dev/agora/agent/launcher/systemd"
	"agora.dev/agora/internal/flags"
)

// SystemdOptions say whether the launcher gets a scope of its own.
type SystemdOptions struct {
	SystemdEnableSupport    bool
	SystemdRuntimeDirectory string
	systemdSocket           string // empty but in tests
}

func defaultSystemd() SystemdOptions {
	return SystemdOptions{SystemdEnableSupport: true, SystemdRuntimeDirectory: systemd.DefaultRuntimeDirectory}
}

func (c *Config) systemdFlags(set *flags.Set) {
	set.Bool(&c.SystemdEnableSupport, "systemd_enable_support", "where systemd runs, give the launcher of containers a scope in "+systemd.Slice+", so that they outlive the agent's unit")
	set.Path(&c.SystemdRuntimeDirectory, "systemd_runtime_directory", "directory that is there where systemd runs")
}

func (c *Config) checkSystemd() error {
	if c.SystemdRuntimeDirectory != "" && !filepath.IsAbs(c.SystemdRuntimeDirectory) {
		return fmt.Errorf("--systemd_runtime_directory=%s must be an absolute path", c.SystemdRuntimeDirectory)
	}
	return nil
}

// errNoSystemd names the ways out.
var errNoSystemd = errors.New("start it, or use --no-systemd_enable_support and KillMode=process in the agent's unit: else stopping the unit ends all containers")

// SystemdSocket is where the launcher asks for its scope; empty when it needs none, because
// systemd does not run, the agent is not root, or the operator says so. An agent that is a service
// of a systemd that does not answer is refused; elsewhere warning says what is missing.
func (c *Config) SystemdSocket(ctx context.Context) (socket string, warning, err error) {
	if !c.SystemdEnableSupport || os.Geteuid() != 0 || !systemd.Running(c.SystemdRuntimeDirectory) {
		return "", nil, nil
	}
	if socket = c.systemdSocket; socket == "" {
		socket = systemd.DefaultSocket
	}
	_, err = systemd.Probe(ctx, socket)
	if err == nil {
		return socket, nil, nil
	}
	err = fmt.Errorf("--systemd_enable_support: %w: %w", err, errNoSystemd)
	if systemd.Service() {
		return "", nil, err
	}
	return "", err, nil
}
