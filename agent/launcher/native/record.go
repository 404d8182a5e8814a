package native

import (
	"fmt"
	"os"
	"path/filepath"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/records"
	"golang.org/x/sys/unix"
)

// record is what a later launcher needs in order to adopt a container. It must
// survive the launcher, not the machine: with the machine the container is gone too.
type record struct {
	ID     string
	Parent string `json:",omitempty"`
	Boot   string
	Cgroup string
	Shared bool
	OwnPID bool
	// PID and Start identify the init; PID 0 means that it was about to be cloned.
	PID   int
	Start uint64
	// Shares of the processor are the container's, which has more of it until it is complete.
	Shares uint64 `json:",omitempty"`
}

func (l *Launcher) writeIntent(c *container) error {
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return err
	}
	c.Boot = l.boot
	return c.write()
}

func (l *Launcher) writePID(c *container) (err error) {
	if c.Start, err = records.StartTime(c.PID); err != nil {
		return err
	}
	return c.write()
}

func (c *container) write() error {
	return records.Write(filepath.Join(c.dir, "record.json"), c.record)
}

// recover adopts the containers of an earlier launcher.
func (l *Launcher) recover() error {
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
		l.adopt(&container{record: r, dir: dir, done: make(chan struct{})})
	}
	return nil
}

func (l *Launcher) adopt(c *container) {
	c.place = l.existing(c.record)
	if c.PID == 0 {
		// The launcher died while it cloned: whatever came of it has no owner.
		l.discard(c)
		return
	}
	c.live = true
	l.containers[c.ID] = c
	l.settle(c)
	var exit launcher.Exit
	if records.Read(filepath.Join(c.dir, "exit.json"), &exit) == nil {
		c.exit = exit
		close(c.done)
		return
	}
	if c.Boot == l.boot {
		if fd, err := unix.PidfdOpen(c.PID, 0); err == nil {
			if start, err := records.StartTime(c.PID); err == nil && start == c.Start {
				c.pidfd = fd
				if l.observe(c) == nil {
					return
				}
			}
			unix.Close(fd)
			c.pidfd = 0
		}
	}
	l.finish(c, nil)
}

// settle ends the hurry of a container that was complete when its launcher died, or nearly.
func (l *Launcher) settle(c *container) {
	if c.Shares == 0 || !c.place.limits.Hurries() {
		return
	}
	if err := c.place.limits.SetShares(c.Shares); err != nil {
		l.log.Warn("container has more than its share of the processor", "container", c.ID, "error", err)
	}
}

// existing rebuilds the placement of a container that was made by another launcher.
func (l *Launcher) existing(r record) (p placement) {
	if r.Cgroup == "" || len(l.hierarchy.Mounts) == 0 {
		return p
	}
	p.limits = l.hierarchy.At(r.Cgroup)
	p.own = p.limits
	leaf := l.hierarchy.At(launcher.Processes(r.Cgroup, r.ID, r.Shared, l.hierarchy.V2))
	if r.Shared && !l.hierarchy.V2 {
		leaf.Paths = map[string]string{"pids": leaf.Paths["pids"]}
	}
	if l.hierarchy.V2 || r.Shared {
		p.own = leaf
		p.made = append(p.made, leaf)
	}
	if !r.Shared {
		p.made = append(p.made, p.limits)
	}
	return p
}
