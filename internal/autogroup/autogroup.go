// Package autogroup has processes wait less for a processor where the kernel shares these among sessions: it puts each
// session into a group of its own (CONFIG_SCHED_AUTOGROUP), unless a control group says otherwise.
//
// It owns the file and the figure. It refuses to speak for a session that this process does not lead: a user's shell.
package autogroup

import (
	"os"

	"golang.org/x/sys/unix"
)

const (
	// File is where a process says how nice its session is to others.
	File = "/proc/self/autogroup"
	// Nice is nine times the share of another session.
	Nice = "-10"
)

// Raise has the session of a daemon go before others. Without the right to do so, or such groups, nothing changes.
func Raise() {
	if session, err := unix.Getsid(0); err == nil && session == os.Getpid() {
		_ = os.WriteFile(File, []byte(Nice), 0)
	}
}
