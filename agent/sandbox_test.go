package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSandboxesOfEarlierAgentsAreCollectedByAge(t *testing.T) {
	work, now := t.TempDir(), time.Now()
	dirs := map[string]string{}
	for name, age := range map[string]time.Duration{"old": 48 * time.Hour, "new": time.Hour, "used": 48 * time.Hour,
		"ended late": 48 * time.Hour} {
		dir := filepath.Join(work, "slaves", "S0", "frameworks", "f", "executors", name, "runs", "c")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
		dirs[name] = dir
	}
	g := &collector{delay: 24 * time.Hour, log: slog.New(slog.DiscardHandler)}
	g.find(work, map[string]bool{dirs["used"]: true}, map[string]time.Time{dirs["ended late"]: now.Add(-time.Hour)})
	g.sweep(now)
	for name, want := range map[string]bool{"old": false, "new": true, "used": true, "ended late": true} {
		if _, err := os.Stat(dirs[name]); (err == nil) != want {
			t.Errorf("%s: there %v, want %v", name, err == nil, want)
		}
	}
}
