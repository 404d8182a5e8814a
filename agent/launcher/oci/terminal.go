package oci

import (
	"context"
	"os"

	"agora.dev/agora/agent/launcher"
)

// follow has a terminal's output written down.
func (l *Launcher) follow(c *container, terminal launcher.Terminal) {
	output := launcher.Follow(terminal)
	l.mu.Lock()
	c.tty = output
	l.mu.Unlock()
	// Ends when the last process with the terminal has ended, or the launcher.
	l.watchers.Go(func() { <-output.Done() })
}

// Terminal implements launcher.Terminals.
func (l *Launcher) Terminal(_ context.Context, id string) (*os.File, error) {
	c, err := l.find(id)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.tty == nil {
		return nil, launcher.ErrNoTerminal
	}
	return launcher.Duplicate(c.tty.Outer)
}

// lastOutput waits for a terminal's output and lets go of what was held for the container.
func (l *Launcher) lastOutput(c *container) {
	if c.tty != nil {
		c.tty.Settle()
	}
	l.ends.RLock() // a terminal that is being handed over stays open
	defer l.ends.RUnlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	c.release()
}

// Freeze implements launcher.Heirs.
func (l *Launcher) Freeze() ([]launcher.Terminal, error) {
	l.ends.Lock()
	l.mu.Lock()
	var outputs []*launcher.Output
	for _, c := range l.containers {
		if c.tty != nil {
			outputs = append(outputs, c.tty)
		}
	}
	l.mu.Unlock()
	open, terminals, err := launcher.PauseAll(outputs)
	if err != nil {
		l.Thaw()
		return nil, err
	}
	l.frozen = open
	return terminals, nil
}

// Thaw implements launcher.Heirs.
func (l *Launcher) Thaw() {
	launcher.ResumeAll(l.frozen)
	l.frozen = nil
	l.ends.Unlock()
}
