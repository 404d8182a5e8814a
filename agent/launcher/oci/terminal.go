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
	return c.tty.Hand()
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
	outputs := launcher.TTYs(l.containers, func(c *container) *launcher.Output { return c.tty })
	l.mu.Unlock()
	terminals, err := l.frozen.Freeze(outputs)
	if err != nil {
		l.Thaw()
	}
	return terminals, err
}

// Thaw implements launcher.Heirs.
func (l *Launcher) Thaw() {
	l.frozen.Thaw()
	l.ends.Unlock()
}
