package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheLauncherGetsAScopeWhereSystemdAnswers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIP: systemd makes scopes for root only")
	}
	c := Default()
	c.SystemdRuntimeDirectory, c.systemdSocket = t.TempDir(), filepath.Join(t.TempDir(), "private")
	socket, warning, err := c.SystemdSocket(t.Context())
	if socket != "" || err != nil || warning == nil || !strings.Contains(warning.Error(), "--no-systemd_enable_support and KillMode=process") {
		t.Errorf("a systemd that does not answer: %q, %v, %v", socket, warning, err)
	}
	for what, change := range map[string]func(*Config){
		"no systemd": func(c *Config) { c.SystemdRuntimeDirectory = filepath.Join(c.SystemdRuntimeDirectory, "none") },
		"turned off": func(c *Config) { c.SystemdEnableSupport = false },
	} {
		c := c
		change(&c)
		if socket, warning, err := c.SystemdSocket(t.Context()); socket != "" || warning != nil || err != nil {
			t.Errorf("%s: %q, %v, %v", what, socket, warning, err)
		}
	}
	c.SystemdRuntimeDirectory = "run"
	if err := c.checkSystemd(); err == nil || !strings.Contains(err.Error(), "must be an absolute path") {
		t.Errorf("got %v", err)
	}
}
