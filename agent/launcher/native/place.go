package native

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/launcher"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// placement is where a container's processes live.
type placement struct {
	// limits are the directories with the container's limits and statistics; those of
	// its parent when it shares them.
	limits cgroups.Group
	// own are the directories that hold its processes and nobody else's, and
	// made those to remove, the innermost first.
	own  cgroups.Group
	made []cgroups.Group
	// tasks are the v1 files the shim writes to, cpuTasks the one of them that comes last;
	// unified is the v2 directory it is cloned into.
	tasks    []string
	cpuTasks string
	unified  string
	// shares of the processor are the container's when it is complete; 0 leaves them as they are.
	shares uint64
}

// settle ends the hurry of a container that is complete.
func (p placement) settle() error {
	if p.shares == 0 {
		return nil
	}
	return p.limits.SetShares(p.shares)
}

// Share is the annotation that puts a container into the cgroups at this path, which
// are another container's.
const Share = "agora.dev/share-cgroups"

// place makes the cgroups of a container. On v2 processes live in a leaf, because a
// group that passes controllers down may hold none.
func (l *Launcher) place(path, id string, shared bool, resources *specs.LinuxResources) (p placement, err error) {
	if path == "" || len(l.hierarchy.Mounts) == 0 {
		return p, nil
	}
	own := launcher.Processes(path, id, shared, l.hierarchy.V2)
	if !shared {
		if p.limits, err = l.hierarchy.Create(path); err != nil {
			return p, err
		}
		p.made = append(p.made, p.limits)
		if err := p.limits.Set(resources); err != nil {
			return p, err
		}
		if resources.CPU != nil && resources.CPU.Shares != nil {
			p.shares = *resources.CPU.Shares
			if err := p.limits.Hurry(); err != nil {
				return p, err
			}
		}
	} else {
		p.limits = l.hierarchy.At(path)
	}
	if l.hierarchy.V2 {
		return l.placeUnified(p, own, shared)
	}
	p.own = p.limits
	for controller, dir := range p.limits.Paths {
		if shared && controller == "pids" {
			dir = l.hierarchy.At(own).Paths["pids"]
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return p, fmt.Errorf("create cgroup: %w", err)
			}
			p.own = cgroups.Group{Paths: map[string]string{"pids": dir}}
			p.made = append(p.made, p.own)
		}
		if dir == p.limits.Paths["cpu"] { // also as another controller's, which is mounted with it
			p.cpuTasks = filepath.Join(dir, "tasks")
			continue
		}
		p.tasks = append(p.tasks, filepath.Join(dir, "tasks"))
	}
	if shared && len(p.made) == 0 {
		return p, fmt.Errorf("sharing cgroups needs the pids controller")
	}
	return p, nil
}

func (l *Launcher) placeUnified(p placement, own string, shared bool) (placement, error) {
	p.own = l.hierarchy.At(own)
	p.unified = p.own.Paths[""]
	if !shared {
		// The leaf has the controllers' files, for nested containers to be siblings.
		if _, err := l.hierarchy.Create(own); err != nil {
			return p, err
		}
	} else if err := os.MkdirAll(p.unified, 0o755); err != nil {
		return p, fmt.Errorf("create cgroup: %w", err)
	}
	p.made = append([]cgroups.Group{p.own}, p.made...)
	return p, nil
}

// empty waits until the groups have no process left, killing what is in them, and
// removes them.
func (l *Launcher) empty(ctx context.Context, p placement) error {
	for wait := time.Millisecond; ; wait = min(wait*2, 50*time.Millisecond) {
		busy, err := remove(p)
		if err != nil || !busy {
			return err
		}
		p.own.Kill()
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("remove cgroup: %w", ctx.Err())
		}
	}
}

// clear is empty for a container that has failed to start.
func (l *Launcher) clear(p placement) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := l.empty(ctx, p); err != nil {
		l.log.Warn("cgroup of a failed container stays", "error", err)
	}
}

func remove(p placement) (busy bool, err error) {
	for _, g := range p.made {
		b, e := g.Remove()
		if e != nil {
			return false, e
		}
		busy = busy || b
	}
	return busy, nil
}

// killChildren kills the children of an init that entered a container on a host
// without cgroups; the init then ends by itself.
func killChildren(pid int) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for field := range strings.FieldsSeq(string(b)) {
		if child, err := strconv.Atoi(field); err == nil && child > 0 {
			_ = syscall.Kill(child, syscall.SIGKILL)
		}
	}
}
