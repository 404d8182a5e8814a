package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/agent/launcher/records"
	"golang.org/x/sys/unix"
)

// As a subreaper this process gets what a runtime leaves behind: crun's helper process,
// which it never waits for, and an init whose parent ended a moment after it.

// reapLater collects an ended process that is our child or soon becomes it.
func (l *Launcher) reapLater(pid int) {
	l.later(long, func() (done bool) {
		got, _ := unix.Wait4(pid, nil, unix.WNOHANG|unix.WALL, nil)
		return got == pid
	})
}

// reapLeft collects what a runtime has left, that was started as the leader of a session: ended processes
// of that session, and helpers that made a session of their own (crun's). Containers have their own, too.
func (l *Launcher) reapLeft(leader int) {
	seen := map[int]bool{leader: true}
	l.later(short, func() (done bool) {
		for _, pid := range children() {
			if !seen[pid] && (session(pid) == leader && !l.isInit(pid) || l.helper(pid)) {
				seen[pid] = true
				l.reapLater(pid) // it may take its time to end
			}
		}
		return false
	})
}

// helper says whether a child is a runtime that nobody waits for: those that are waited for lead their session.
func (l *Launcher) helper(pid int) bool {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if strings.TrimSpace(string(name)) != filepath.Base(l.runtime) || session(pid) == pid {
		return false
	}
	began, err := records.StartTime(pid)
	return err == nil && !l.worksSince(began) && !l.isInit(pid)
}

// worksSince says whether a runtime is at work that may have started a process at that time:
// it may be an init on its way into a user namespace, which crun lets go of early.
func (l *Launcher) worksSince(began uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, start := range l.working {
		if start <= began {
			return true
		}
	}
	return l.starting > 0
}

// isInit says whether a child is a container's init; of one that is being started the runtime
// has told in a file.
func (l *Launcher) isInit(pid int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.containers {
		if c.PID == pid {
			return true
		}
		if c.PID != 0 {
			continue
		}
		if told, err := c.pidFile(); err == nil && told == pid {
			return true
		}
	}
	return false
}

// reapInherited collects what the program that ran in this process before has not: children
// that are no live container's init, and what these leave behind, whenever it ends. Sessions tell
// them from the children of this program.
func (l *Launcher) reapInherited() {
	strays, sessions := map[int]bool{}, map[int]bool{}
	for _, pid := range children() {
		strays[pid] = true
	}
	l.mu.Lock()
	for _, c := range l.containers {
		if !c.ended() {
			delete(strays, c.PID)
		}
	}
	l.mu.Unlock()
	for pid := range strays {
		sessions[session(pid)] = true
	}
	delete(sessions, session(os.Getpid()))
	l.watchers.Go(func() {
		for wait := 4 * time.Millisecond; ; wait = min(4*wait, often) {
			if l.attempt(func() bool { return reapStrays(strays, sessions) }) {
				return
			}
			select {
			case <-time.After(wait):
			case <-l.closing:
				return
			}
		}
	})
}

// reapStrays collects those that have ended, of sessions whose members may have become children since.
func reapStrays(strays, sessions map[int]bool) (done bool) {
	for pid := range strays {
		if got, _ := unix.Wait4(pid, nil, unix.WNOHANG|unix.WALL, nil); got == pid {
			delete(strays, pid) // its number may be another's from now on
		}
	}
	for _, pid := range children() {
		if sessions[session(pid)] {
			strays[pid] = true
		}
	}
	return len(strays) == 0
}

// children are the child processes of this one.
func children() (out []int) {
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, file := range files {
		b, _ := os.ReadFile(file)
		for field := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(field); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

// How long strays are tried: one whose number is known costs nearly nothing.
const (
	short = 512 * time.Millisecond
	long  = 30 * time.Second
	often = 2 * time.Second // for those that may live for long
)

// later tries at growing intervals.
func (l *Launcher) later(bound time.Duration, try func() (done bool)) {
	l.watchers.Go(func() {
		for wait := 4 * time.Millisecond; wait < bound; wait *= 4 {
			if l.attempt(try) {
				return
			}
			select {
			case <-time.After(wait):
			case <-l.closing:
				wait = bound
			}
		}
		l.attempt(try)
	})
}

func (l *Launcher) attempt(try func() (done bool)) bool {
	l.ends.RLock()
	defer l.ends.RUnlock()
	return try()
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
