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
	if c.tty == nil {
		return nil, launcher.ErrNoTerminal
	}
	return launcher.Duplicate(c.tty.Outer)
}

// Freeze implements launcher.Heirs.
func (l *Launcher) Freeze() ([]launcher.Terminal, error) {
	l.forks.RLock() // no orphan is reaped
	l.watch.turn.Lock()
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
	l.watch.turn.Unlock()
	l.forks.RUnlock()
}
