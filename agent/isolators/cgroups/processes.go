package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Procs returns the processes in the group, threads not counted.
func (g Group) Procs() []int { return procsIn(g.any()) }

func procsIn(dir string) (out []int) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	for field := range strings.FieldsSeq(string(b)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			out = append(out, pid)
		}
	}
	return out
}

// processes counts those of the group and of the groups below it.
func (g Group) processes() (count uint64) {
	_ = filepath.WalkDir(g.any(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			count += uint64(len(procsIn(path)))
		}
		return nil // a group that has just ended has no process
	})
	return count
}

// Kill sends SIGKILL to everything in the group once.
func (g Group) Kill() {
	if g.V2 && Write(g.Paths[""], "cgroup.kill", "1") == nil {
		return
	}
	for _, pid := range g.Procs() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// Remove deletes the group's directories; busy is true while processes remain.
func (g Group) Remove() (busy bool, err error) {
	for _, dir := range g.Dirs() {
		e := syscall.Rmdir(dir)
		switch {
		case e == nil, errors.Is(e, syscall.ENOENT):
		case errors.Is(e, syscall.EBUSY):
			busy = true
		default:
			err = fmt.Errorf("remove cgroup %s: %w", dir, e)
		}
	}
	return busy, err
}

// Exists reports whether the group is there.
func (g Group) Exists() bool {
	_, err := os.Stat(g.any())
	return err == nil
}

// any is a directory that has every process of the group: that of pids or memory
// where there is one, on v2 the only one.
func (g Group) any() string {
	for _, c := range []string{"", "pids", "memory", "freezer", "cpu"} {
		if dir, ok := g.Paths[c]; ok {
			return dir
		}
	}
	return ""
}
