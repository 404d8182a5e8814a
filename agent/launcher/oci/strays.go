package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// As a subreaper this process gets what a runtime leaves behind: crun's helper process,
// which it never waits for, and an init whose parent ended a moment after it.

// reapLater collects an ended process that is our child or soon becomes it.
func (l *Launcher) reapLater(pid int) {
	l.later(func() (done bool) {
		got, _ := unix.Wait4(pid, nil, unix.WNOHANG|unix.WALL, nil)
		return got == pid
	})
}

// reapSession collects the ended processes of a runtime that was started as the leader
// of a session. Containers have sessions of their own.
func (l *Launcher) reapSession(leader int) {
	l.later(func() (done bool) {
		files, _ := filepath.Glob("/proc/self/task/*/children")
		for _, file := range files {
			b, _ := os.ReadFile(file)
			for field := range strings.FieldsSeq(string(b)) {
				if pid, err := strconv.Atoi(field); err == nil && pid != leader && session(pid) == leader {
					_, _ = unix.Wait4(pid, nil, unix.WNOHANG|unix.WALL, nil)
				}
			}
		}
		return false
	})
}

// later tries at growing intervals for some hundred milliseconds.
func (l *Launcher) later(try func() (done bool)) {
	l.watchers.Go(func() {
		for wait := 4 * time.Millisecond; wait < 512*time.Millisecond; wait *= 4 {
			if try() {
				return
			}
			select {
			case <-time.After(wait):
			case <-l.closing:
				wait = time.Second
			}
		}
		try()
	})
}

// session is field 6 of the stat file, or 0.
func session(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 4 {
		return 0
	}
	id, _ := strconv.Atoi(fields[3])
	return id
}
