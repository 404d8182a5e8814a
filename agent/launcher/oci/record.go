package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/records"
	"golang.org/x/sys/unix"
)

// record is what a later launcher needs in order to adopt a container.
type record struct {
	ID     string
	Parent string `json:",omitempty"`
	Boot   string
	Cgroup string
	Shared bool
	OwnPID bool
	// Seccomp says that the runtime filters what enters, too.
	Seccomp bool
	// UserFirst is the machine's id of its root; 0 in the machine's user namespace.
	UserFirst uint32 `json:",omitempty"`
	// PID and Start identify the init; PID 0 means that it was about to be made.
	PID   int
	Start uint64
}

func (c *container) write() error {
	return records.Write(filepath.Join(c.dir, "record.json"), c.record)
}

// recover adopts the containers of an earlier launcher, with terminals that it handed over.
func (l *Launcher) recover(terminals []launcher.Terminal) error {
	entries, err := os.ReadDir(filepath.Join(l.dir, "containers"))
	if err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	for _, e := range entries {
		dir := filepath.Join(l.dir, "containers", e.Name())
		var r record
		if err = records.Read(filepath.Join(dir, "record.json"), &r); err != nil || r.ID != e.Name() {
			l.log.Warn("container record dropped", "container", e.Name(), "error", err)
			os.RemoveAll(dir)
			continue
		}
		c := &container{record: r, dir: dir, done: make(chan struct{})}
		// Before its end can be seen, which waits for the output.
		for _, t := range terminals {
			if t.ID == r.ID {
				l.follow(c, t)
			}
		}
		l.adopt(c)
		if c.tty != nil && c.ended() {
			l.watchers.Go(func() { l.lastOutput(c) })
		}
	}
	return nil
}

func (l *Launcher) adopt(c *container) {
	c.place = l.existing(c.record)
	if c.PID == 0 {
		// The launcher died while the runtime worked: what came of it has no owner.
		l.discard(c)
		return
	}
	l.containers[c.ID] = c
	var exit launcher.Exit
	if records.Read(filepath.Join(c.dir, "exit.json"), &exit) == nil {
		c.exit = exit
		close(c.done)
		return
	}
	if c.Boot == l.boot && l.observe(c) == nil {
		return
	}
	l.finish(c)
}

// pidFile reads what the runtime wrote.
func (c *container) pidFile() (int, error) {
	b, err := os.ReadFile(filepath.Join(c.dir, "pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// open returns the init as a descriptor that the poller of Go's runtime watches.
func (r record) open() (*os.File, error) {
	fd, err := unix.PidfdOpen(r.PID, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", r.PID, err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	if start, err := records.StartTime(r.PID); err != nil || start != r.Start {
		f.Close()
		return nil, fmt.Errorf("process %d is another one: %w", r.PID, os.ErrProcessDone)
	}
	return f, nil
}
