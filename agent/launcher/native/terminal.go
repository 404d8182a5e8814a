package native

import (
	"context"
	"os"

	"agora.dev/agora/agent/launcher"
)

// follow has a terminal's output written down. Its outer end is closed when no process of
// the container has the terminal any more.
func (l *Launcher) follow(c *container, terminal launcher.Terminal) {
	output := launcher.Follow(terminal)
	l.mu.Lock()
	c.tty = output
	l.mu.Unlock()
	go func() {
		<-output.Done()
		terminal.Outer.Close()
	}()
}

// inherit goes on with terminals that were handed over.
func (l *Launcher) inherit(terminals []launcher.Terminal) {
	for _, t := range terminals {
		l.mu.Lock()
		c, known := l.containers[t.ID]
		l.mu.Unlock()
		if !known { // its record could not be read
			t.Outer.Close()
			t.File.Close()
			continue
		}
		l.follow(c, t)
	}
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

// Freeze implements launcher.Heirs.
func (l *Launcher) Freeze() ([]launcher.Terminal, error) {
	l.forks.RLock() // no orphan is reaped
	l.watch.turn.Lock()
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
	l.watch.turn.Unlock()
	l.forks.RUnlock()
}
