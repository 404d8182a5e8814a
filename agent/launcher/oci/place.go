package oci

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/launcher"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// placement is where a container's processes live: the same groups as the native
// launcher's, so that agents can change from one to the other.
type placement struct {
	// limits has the container's limits and statistics; its parent's when shared.
	limits cgroups.Group
	// own holds its processes and nobody else's; path names it to the runtime.
	own  cgroups.Group
	path string
	made []cgroups.Group // to remove, the innermost first
}

// place makes the group with the limits. Its processes live in it, or on v2 in a leaf,
// because a group that passes controllers down may hold none; in a group of its own
// below another container's when it shares that one's limits.
func (l *Launcher) place(r record, resources *specs.LinuxResources) (placement, error) {
	p := l.existing(r)
	if p.path == "" {
		return p, nil
	}
	if r.Shared {
		if l.hierarchy.V2 {
			return p, makeDirs(p.own)
		}
		_, err := l.hierarchy.Create(p.path)
		return p, err
	}
	if _, err := l.hierarchy.Create(r.Cgroup); err != nil {
		return p, err
	}
	return p, p.limits.Set(resources)
}

func makeDirs(g cgroups.Group) error {
	for _, dir := range g.Dirs() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("create cgroup: %w", err)
		}
	}
	return nil
}

// existing rebuilds the placement from the record.
func (l *Launcher) existing(r record) (p placement) {
	if r.Cgroup == "" || len(l.hierarchy.Mounts) == 0 {
		return p
	}
	p.limits, p.path = l.hierarchy.At(r.Cgroup), launcher.Processes(filepath.Join("/", r.Cgroup), r.ID, r.Shared, l.hierarchy.V2)
	p.own = l.hierarchy.At(p.path)
	if r.Shared || l.hierarchy.V2 {
		p.made = append(p.made, p.own)
	}
	if !r.Shared {
		p.made = append(p.made, p.limits)
	}
	return p
}

// enterGroup moves a process that waits at its gate into the group.
func enterGroup(g cgroups.Group, pid int) error {
	for _, dir := range g.Dirs() {
		if err := cgroups.Write(dir, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	return nil
}

// empty waits until the groups have no process left, killing what is in them, and
// removes them. Orphans of a container without an init of its own come to us.
func (l *Launcher) empty(ctx context.Context, p placement) error {
	var orphans []int
	for wait := time.Millisecond; ; wait = min(wait*2, 50*time.Millisecond) {
		orphans = reap(append(orphans, p.own.Procs()...))
		if len(p.made) == 0 {
			return nil
		}
		p.own.Kill()
		busy := false
		for _, g := range p.made {
			b, err := g.Remove()
			if err != nil {
				return err
			}
			busy = busy || b
		}
		if !busy && len(orphans) == 0 {
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("remove cgroup: %w", ctx.Err())
		}
	}
}

// reap collects the zombies among pids and returns those that are still to come: ours
// and running.
func reap(pids []int) []int {
	slices.Sort(pids)
	return slices.DeleteFunc(slices.Compact(pids), func(pid int) bool {
		got, err := unix.Wait4(pid, nil, unix.WNOHANG|unix.WALL, nil)
		return err != nil || got == pid
	})
}

// foreignCgroups lists the mounts of control groups that this launcher does not use: a
// hybrid host's unified and named hierarchies. Runtimes would make groups there, which
// nobody removes, or take the host for one with cgroup v2.
func foreignCgroups(h cgroups.Hierarchy) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cgroups: %w", err)
	}
	defer f.Close()
	var ours, out []string
	for _, mount := range h.Mounts {
		ours = append(ours, mount)
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(rest) == 0 || !strings.HasPrefix(rest[0], "cgroup") {
			continue
		}
		if !slices.Contains(ours, fields[4]) {
			out = append(out, fields[4])
		}
	}
	slices.Reverse(out) // the innermost first
	return out, lines.Err()
}
