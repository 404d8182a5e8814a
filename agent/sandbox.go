package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/checkpoint"
	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/agent/sandboxes"
)

// sandboxMaker prepares the directory of a container.
type sandboxMaker struct {
	paths checkpoint.Paths
	agent func() string
	claim func(sandbox string) (made func())
}

// prepare makes the sandbox with its links.
func (s *sandboxMaker) prepare(_ context.Context, l core.LaunchContainer) error {
	if err := s.make(l); err != nil {
		return err
	}
	return prepareVolumes(l.Spec)
}

func (s *sandboxMaker) make(l core.LaunchContainer) error {
	defer s.claim(l.Spec.Sandbox)()
	if err := makeSandbox(l.Spec); err != nil {
		return err
	}
	if err := s.links(l); err != nil {
		return fmt.Errorf("make sandbox: %w", err)
	}
	return nil
}

// makeSandbox makes a sandbox of the container's user. What lies in the sandbox of others is reached as package sandboxes says.
func makeSandbox(spec containerizer.Spec) error {
	if _, nested := spec.ID.Parent(); nested {
		uid, gid, err := account(spec.User)
		if err != nil {
			return err
		}
		return sandboxes.Make(spec.Sandbox, uid, gid)
	}
	if err := os.MkdirAll(spec.Sandbox, 0o755); err != nil {
		return fmt.Errorf("make sandbox: %w", err)
	}
	return chown(spec.Sandbox, spec.User)
}

func (s *sandboxMaker) links(l core.LaunchContainer) error {
	run := core.Run{Key: l.Executor, Container: l.Spec.ID}
	if _, nested := l.Spec.ID.Parent(); !nested {
		return replaceLink(filepath.Base(l.Spec.Sandbox), filepath.Join(s.paths.Runs(s.agent(), l.Executor), "latest"))
	}
	run.Container = l.Spec.ID.Root()
	link := s.paths.TaskLink(s.agent(), run, l.Task)
	dir := filepath.Dir(link)
	return sandboxes.Link(filepath.Dir(dir), filepath.Base(dir), filepath.Base(link), filepath.Join("..", "containers", filepath.Base(l.Spec.Sandbox)))
}

func replaceLink(target, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, path)
}

// chown gives a sandbox to a user of the host, by name or number.
func chown(dir, name string) error {
	uid, gid, err := account(name)
	if err != nil || uid < 0 {
		return err
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		return fmt.Errorf("make sandbox: %w", err)
	}
	return nil
}

// account finds a user of the host; -1 for none, or when we may not give files away.
func account(name string) (uid, gid int, err error) {
	if name == "" || os.Geteuid() != 0 {
		return -1, -1, nil
	}
	found, err := user.Lookup(name)
	if err != nil {
		if uid, numeric := strconv.Atoi(name); numeric == nil {
			return uid, uid, nil
		}
		return -1, -1, fmt.Errorf("user %q does not exist on this machine", name)
	}
	uid, _ = strconv.Atoi(found.Uid)
	gid, _ = strconv.Atoi(found.Gid)
	return uid, gid, nil
}

// collector removes sandboxes that were forgotten longer ago than --gc_delay; the fuller the disk, the sooner. The records of
// an agent's earlier ids go like these.
type collector struct {
	delay time.Duration
	log   *slog.Logger
	// headroom is the part of the disk that is to stay free, every how often the disk is looked at, and usage
	// how full it is, 0 to 1; nil: age alone counts.
	headroom float64
	every    time.Duration
	usage    func() (float64, error)
	// age is the allowed age by the last look.
	age atomic.Int64

	// tree is held for reading while a sandbox is made, and for writing while directories go that hold none.
	tree sync.RWMutex
	// atOnce wakes the sweep for sandboxes that need not wait.
	atOnce  chan struct{}
	mu      sync.Mutex
	waiting []forgotten
	// claimed are the sandboxes made since begin; nil after find.
	claimed map[string]bool
	// removed and failed count directories.
	removed, failed atomic.Uint64
}

// figures gives the collector's metrics under Mesos's names.
func (g *collector) figures(emit func(name string, value float64)) {
	g.mu.Lock()
	pending := len(g.waiting)
	g.mu.Unlock()
	emit("gc/path_removals_pending", float64(pending))
	emit("gc/path_removals_succeeded", float64(g.removed.Load()))
	emit("gc/path_removals_failed", float64(g.failed.Load()))
}

type forgotten struct {
	at  time.Time
	dir string
}

// maxForgotten bounds the list; beyond it the oldest goes early.
const maxForgotten = 20000

func (g *collector) forget(f core.ForgetSandbox) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !f.AtOnce {
		g.waiting = append(g.waiting, forgotten{time.Now(), f.Sandbox})
		return
	}
	g.waiting = slices.Insert(g.waiting, 0, forgotten{time.Time{}, f.Sandbox})
	select {
	case g.atOnce <- struct{}{}:
	default: // a sweep is on its way
	}
}

// claim notes a sandbox that is about to be made, so that find knows it is in use, and keeps the directories above it
// until made is called.
func (g *collector) claim(dir string) (made func()) {
	g.tree.RLock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.claimed != nil {
		g.claimed[dir] = true
	}
	return g.tree.RUnlock
}

// find plans the removal of sandboxes that an earlier agent left, by when their executors ended, or by
// their age where that is not known. Those of keep are in use, and so are those claimed since begin.
func (g *collector) find(ctx context.Context, work string, keep map[string]bool, ended map[string]time.Time) {
	var found []forgotten
	each(filepath.Join(work, "slaves"), func(agent string, _ fs.DirEntry) {
		each(filepath.Join(agent, "frameworks"), func(framework string, _ fs.DirEntry) {
			each(filepath.Join(framework, "executors"), func(executor string, _ fs.DirEntry) {
				empty := true
				each(filepath.Join(executor, "runs"), func(dir string, e fs.DirEntry) {
					empty = false
					if keep[dir] || ctx.Err() != nil {
						return
					}
					at, known := ended[dir]
					if !known {
						info, err := e.Info()
						if err != nil {
							return
						}
						at = info.ModTime()
					}
					found = append(found, forgotten{at, dir})
				})
				if empty {
					g.tidy(filepath.Join(executor, "runs"))
				}
			})
		})
	})
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range found {
		if !g.claimed[f.dir] {
			g.waiting = append(g.waiting, f)
		}
	}
	g.claimed = nil
	slices.SortStableFunc(g.waiting, func(a, b forgotten) int { return a.at.Compare(b.at) })
}

// findAgents plans the removal of what is recorded under ids that this agent had before: all directories in dir but current.
func (g *collector) findAgents(dir, current string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	each(dir, func(agent string, e fs.DirEntry) {
		if info, err := e.Info(); err == nil && agent != current {
			g.waiting = append(g.waiting, forgotten{info.ModTime(), agent})
		}
	})
}

// tidy removes the directory of an executor's runs, and those above it up to that of the agent, as far as nothing is
// left in them: every task of a command has an executor of its own.
func (g *collector) tidy(runs string) {
	if filepath.Base(runs) != "runs" {
		return // a container without an executor
	}
	g.tree.Lock()
	defer g.tree.Unlock()
	link := filepath.Join(runs, "latest")
	if _, err := os.Stat(link); errors.Is(err, fs.ErrNotExist) {
		_ = os.Remove(link) // it leads nowhere, or is not there
	}
	for dir := runs; filepath.Base(dir) != "slaves" && os.Remove(dir) == nil; {
		dir = filepath.Dir(dir)
	}
}

// each visits the directories in one; what cannot be read has none.
func each(dir string, visit func(path string, e fs.DirEntry)) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			visit(filepath.Join(dir, e.Name()), e)
		}
	}
}

// allowedAge is how old a sandbox may get on a disk that is so full. Mesos slave.cpp, age.
func allowedAge(delay time.Duration, headroom, usage float64) time.Duration {
	return time.Duration(float64(delay) * max(0, 1-headroom-usage))
}

// look sees how full the disk is.
func (g *collector) look() {
	if g.usage == nil {
		return
	}
	usage, err := g.usage()
	if err != nil {
		g.log.Warn("usage of the disk unknown: sandboxes go by age", "error", err)
		usage = 0
	}
	g.age.Store(int64(allowedAge(g.delay, g.headroom, usage)))
}

// allowed is the age that sandboxes may have.
func (g *collector) allowed() time.Duration {
	if g.usage == nil {
		return g.delay
	}
	return time.Duration(g.age.Load())
}

// diskUsage is how full the disk of a directory is for those who are not root, 0 to 1.
func diskUsage(dir string) (float64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("usage of %s: %w", dir, err)
	}
	used := float64(s.Blocks - s.Bfree)
	if total := used + float64(s.Bavail); total > 0 {
		return used / total, nil
	}
	return 0, nil
}

// begin is called before any sandbox is made, and before find.
func (g *collector) begin() {
	g.look()
	g.claimed = map[string]bool{}
}

// run sweeps every --disk_watch_interval until ctx ends.
func (g *collector) run(ctx context.Context) {
	tick := time.NewTicker(g.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			g.look()
			g.sweep(now)
		case <-g.atOnce:
			g.sweep(time.Now())
		}
	}
}

func (g *collector) sweep(now time.Time) {
	g.mu.Lock()
	var due []forgotten
	for len(g.waiting) > 0 && (now.Sub(g.waiting[0].at) >= g.allowed() || len(g.waiting) > maxForgotten) {
		due = append(due, g.waiting[0])
		g.waiting = g.waiting[1:]
	}
	g.mu.Unlock()
	for _, f := range due {
		if err := os.RemoveAll(f.dir); err != nil {
			g.failed.Add(1)
			g.log.Warn("not removed", "directory", f.dir, "error", err)
		} else {
			g.removed.Add(1)
			g.tidy(filepath.Dir(f.dir))
		}
	}
}
