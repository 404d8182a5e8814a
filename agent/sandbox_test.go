package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"agora.dev/agora/agent/checkpoint"
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
	g.find(t.Context(), work, map[string]bool{dirs["used"]: true}, map[string]time.Time{dirs["ended late"]: now.Add(-time.Hour)})
	g.sweep(now)
	for name, want := range map[string]bool{"old": false, "new": true, "used": true, "ended late": true} {
		if _, err := os.Stat(dirs[name]); (err == nil) != want {
			t.Errorf("%s: there %v, want %v", name, err == nil, want)
		}
		if _, err := os.Stat(filepath.Dir(filepath.Dir(dirs[name]))); (err == nil) != want {
			t.Errorf("executor of %s: there %v, want %v", name, err == nil, want)
		}
	}
}

// What was recorded under another id of the agent goes by its age; what it is going by stays.
func TestRecordsOfEarlierIdsAreCollectedByAge(t *testing.T) {
	paths, now := checkpoint.Paths{Work: t.TempDir()}, time.Now()
	for id, age := range map[string]time.Duration{"S0": 48 * time.Hour, "S1": time.Hour, "S2": 48 * time.Hour} {
		if err := os.MkdirAll(filepath.Join(paths.Agent(id), "frameworks", "f"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(paths.Agent(id), now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("S2", filepath.Join(paths.Agents(), "latest")); err != nil {
		t.Fatal(err)
	}
	g := &collector{delay: 24 * time.Hour, log: slog.New(slog.DiscardHandler)}
	g.findAgents(paths.Agents(), paths.Agent("S2"))
	g.find(t.Context(), paths.Work, nil, nil)
	g.sweep(now)
	for id, want := range map[string]bool{"S0": false, "S1": true, "S2": true, "latest": true} {
		if _, err := os.Stat(paths.Agent(id)); (err == nil) != want {
			t.Errorf("%s: there %v, want %v", id, err == nil, want)
		}
	}
}

// What an earlier agent has left of executors whose sandboxes it removed goes, up to what is in use.
func TestEmptyDirectoriesOfExecutorsGo(t *testing.T) {
	work := t.TempDir()
	runs := func(agent, executor string) string {
		return filepath.Join(work, "slaves", agent, "frameworks", "f", "executors", executor, "runs")
	}
	used := filepath.Join(runs("S0", "used"), "c")
	for _, dir := range []string{runs("S0", "gone"), runs("S1", "gone"), used} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{runs("S0", "gone"), runs("S1", "gone"), runs("S0", "used")} {
		if err := os.Symlink("c", filepath.Join(dir, "latest")); err != nil {
			t.Fatal(err)
		}
	}
	g := &collector{delay: time.Hour, log: slog.New(slog.DiscardHandler)}
	g.find(t.Context(), work, map[string]bool{used: true}, nil)
	for dir, want := range map[string]bool{filepath.Join(work, "slaves"): true, filepath.Join(work, "slaves", "S1"): false,
		filepath.Dir(runs("S0", "gone")): false, filepath.Join(runs("S0", "used"), "latest"): true} {
		if _, err := os.Lstat(dir); (err == nil) != want {
			t.Errorf("%s: there %v, want %v", dir, err == nil, want)
		}
	}
}

// A sandbox that is made while those of earlier agents are looked for belongs to nobody of them, whatever its age.
func TestSandboxesMadeDuringTheSearchAreInUse(t *testing.T) {
	work, now := t.TempDir(), time.Now()
	g := &collector{delay: time.Hour, log: slog.New(slog.DiscardHandler)}
	g.begin()
	at := func(name string) string {
		return filepath.Join(work, "slaves", "S0", "frameworks", "f", "executors", name, "runs", "c")
	}
	g.claim(at("made"))()
	for _, name := range []string{"made", "left"} {
		if err := os.MkdirAll(at(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(at(name), now, now.Add(-48*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	g.find(t.Context(), work, nil, nil)
	g.claim(at("later"))() // nobody looks any more
	g.sweep(now)
	for name, want := range map[string]bool{"made": true, "left": false} {
		if _, err := os.Stat(at(name)); (err == nil) != want {
			t.Errorf("%s: there %v, want %v", name, err == nil, want)
		}
	}
}

func TestAFullerDiskKeepsSandboxesForLess(t *testing.T) {
	for _, c := range []struct {
		headroom, usage float64
		want            time.Duration
	}{{0.1, 0, 9 * time.Hour}, {0.1, 0.5, 4 * time.Hour}, {0.1, 0.95, 0}, {0, 0, 10 * time.Hour}, {1, 0, 0}} {
		if got := allowedAge(10*time.Hour, c.headroom, c.usage).Round(time.Second); got != c.want {
			t.Errorf("headroom %g, usage %g: %s, want %s", c.headroom, c.usage, got, c.want)
		}
	}
	dir := filepath.Join(t.TempDir(), "sandbox")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	usage := 0.5
	g := &collector{delay: 10 * time.Hour, headroom: 0.1, log: slog.New(slog.DiscardHandler), usage: func() (float64, error) { return usage, nil }}
	now := time.Now()
	g.waiting = []forgotten{{now.Add(-2 * time.Hour), dir}}
	for _, step := range []struct {
		usage float64
		there bool
	}{{0.5, true}, {0.85, false}} {
		usage = step.usage
		g.look()
		g.sweep(now)
		if _, err := os.Stat(dir); (err == nil) != step.there {
			t.Errorf("at usage %g: there %v, want %v", usage, err == nil, step.there)
		}
	}
	if used, err := diskUsage(t.TempDir()); err != nil || used < 0 || used > 1 {
		t.Errorf("usage of a real disk: %g, %v", used, err)
	}
}
