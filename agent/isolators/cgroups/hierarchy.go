// Package cgroups makes, limits, reads and removes the control groups of containers,
// on version 1, version 2 and hybrid hosts.
//
// It promises that limits are in place before a process can enter, and that a removed
// group has no process left. It refuses to touch any group outside the prefix it was
// given, and to move a process in from outside: on version 1 that waits for a grace
// period of the kernel, so the shim enters by itself.
package cgroups

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"agora.dev/agora/agent/isolators/devices"
	"golang.org/x/sys/unix"
)

// Hierarchy is how control groups are mounted on this host.
type Hierarchy struct {
	// V2 is set when the host has only the unified hierarchy.
	V2 bool
	// Mounts are the hierarchies: on v1 by controller, on v2 only the empty key.
	Mounts map[string]string

	filters *devices.Filters
}

var controllers = []string{"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "perf_event", "net_cls", "net_prio"}

// Detect reads the hierarchies from /proc/self/mountinfo. A host without any gives an
// empty Hierarchy.
func Detect() (Hierarchy, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Hierarchy{}, fmt.Errorf("cgroups: %w", err)
	}
	defer f.Close()
	v1, v2 := map[string]string{}, ""
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(rest) < 3 {
			continue
		}
		switch rest[0] {
		case "cgroup2":
			v2 = fields[4]
		case "cgroup":
			for option := range strings.SplitSeq(rest[2], ",") {
				if slices.Contains(controllers, option) {
					v1[option] = fields[4]
				}
			}
		}
	}
	switch {
	case len(v1) > 0:
		return Hierarchy{Mounts: v1}, lines.Err()
	case v2 != "":
		return Hierarchy{V2: true, Mounts: map[string]string{"": v2}, filters: &devices.Filters{}}, lines.Err()
	}
	return Hierarchy{}, lines.Err()
}

// Has reports whether containers can be given the controller; cpuacct, freezer and
// perf_event are part of version 2 itself, and devices are filtered there by programs.
func (h Hierarchy) Has(controller string) bool {
	if !h.V2 {
		_, ok := h.Mounts[controller]
		return ok
	}
	switch controller {
	case "cpuacct", "freezer", "perf_event":
		return true
	case "devices":
		return devices.Supported() == nil
	case "blkio":
		controller = "io"
	}
	b, _ := os.ReadFile(filepath.Join(h.Mounts[""], "cgroup.controllers"))
	return slices.Contains(strings.Fields(string(b)), controller)
}

// Usable reports whether groups can be made below prefix, and why not.
func (h Hierarchy) Usable(prefix string) error {
	if len(h.Mounts) == 0 {
		return errors.New("no cgroup file system is mounted")
	}
	_, err := h.Create(prefix)
	return err
}

// Group is a directory in each hierarchy.
type Group struct {
	V2    bool
	Paths map[string]string

	filters *devices.Filters
}

// At names the group at path without making it.
func (h Hierarchy) At(path string) Group {
	g := Group{V2: h.V2, Paths: map[string]string{}, filters: h.filters}
	for controller, mount := range h.Mounts {
		g.Paths[controller] = filepath.Join(mount, filepath.Join("/", path))
	}
	return g
}

// Create makes the group and its parents. On v2 the controllers are passed down to it.
func (h Hierarchy) Create(path string) (Group, error) {
	g := h.At(path)
	if h.V2 {
		return g, h.createUnified(path)
	}
	for _, dir := range g.Dirs() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return g, fmt.Errorf("create cgroup %s: %w", dir, err)
		}
	}
	if cpuset, ok := h.Mounts["cpuset"]; ok {
		return g, inheritCpuset(cpuset, path)
	}
	return g, nil
}

func (h Hierarchy) createUnified(path string) error {
	dir := h.Mounts[""]
	for part := range strings.SplitSeq(strings.Trim(filepath.Clean("/"+path), "/"), "/") {
		available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil {
			return fmt.Errorf("create cgroup %s: %w", path, err)
		}
		passed, _ := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		has := strings.Fields(string(passed))
		for controller := range strings.FieldsSeq(string(available)) {
			if slices.Contains(has, controller) {
				continue
			}
			// A controller that cannot be passed down (processes in the parent) is
			// found missing when its limit is written.
			_ = Write(dir, "cgroup.subtree_control", "+"+controller)
		}
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("create cgroup %s: %w", path, err)
		}
	}
	return nil
}

// inheritCpuset fills cpus and mems down the path: a v1 cpuset is empty when made, and
// refuses processes until it is not.
func inheritCpuset(mount, path string) error {
	dir := mount
	for part := range strings.SplitSeq(strings.Trim(filepath.Clean("/"+path), "/"), "/") {
		child := filepath.Join(dir, part)
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			has, err := os.ReadFile(filepath.Join(child, file))
			if err != nil {
				return fmt.Errorf("cpuset: %w", err)
			}
			if strings.TrimSpace(string(has)) != "" {
				continue
			}
			from, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return fmt.Errorf("cpuset: %w", err)
			}
			if err := Write(child, file, strings.TrimSpace(string(from))); err != nil {
				return err
			}
		}
		dir = child
	}
	return nil
}

// Dirs returns the distinct directories of the group, sorted.
func (g Group) Dirs() []string {
	var out []string
	for _, dir := range g.Paths {
		if !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	slices.Sort(out)
	return out
}

// Write sets a file of a group. It uses bare system calls: kernfs files can be polled,
// so an os.File that is told EAGAIN would wait for an event that never comes.
func Write(dir, file, value string) error {
	path := filepath.Join(dir, file)
	fd, err := uninterrupted(func() (int, error) { return unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return fmt.Errorf("write %q to %s: %w", value, path, err)
	}
	n, err := uninterrupted(func() (int, error) { return unix.Write(fd, []byte(value)) })
	if closed := unix.Close(fd); err == nil {
		err = closed
	}
	if err == nil && n < len(value) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("write %q to %s: %w", value, path, err)
	}
	return nil
}

// uninterrupted repeats a call that a signal interrupts, as Go's own runtime sends them.
func uninterrupted(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}

// CountsSwap reports whether limits on swap are possible.
func (h Hierarchy) CountsSwap() bool {
	if !h.V2 {
		_, err := os.Stat(filepath.Join(h.Mounts["memory"], "memory.memsw.limit_in_bytes"))
		return err == nil && h.Mounts["memory"] != ""
	}
	return h.Has("memory")
}
