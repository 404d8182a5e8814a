// Package systemd has units of systemd for a cluster, and the test that systemd takes them.
package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestSystemdTakesTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("SKIP: needs systemd-analyze (Debian: systemd)")
	}
	units, err := filepath.Glob("*.service")
	if err != nil || len(units) != 3 {
		t.Fatalf("units %v, %v", units, err)
	}
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		// It looks for the program.
		here := filepath.Join(t.TempDir(), unit)
		if err := os.WriteFile(here, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/agora", "/bin/true")), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(analyze, "verify", "--man=no", here)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), unit) {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
}
