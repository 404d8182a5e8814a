package launcher

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Heirs are launchers whose process can be replaced in place, by execve: what they know is in
// their records, but for open terminals.
type Heirs interface {
	// Freeze has no record written, no child reaped and no terminal read until Thaw, and
	// returns the terminals. No other method but Wait may be at work meanwhile. After an error
	// everything goes on.
	Freeze() ([]Terminal, error)
	Thaw()
}

// Terminal is what a launcher keeps of a container's terminal.
type Terminal struct {
	ID string
	// Outer is the launcher's end; File takes what comes out of it.
	Outer, File *os.File
}

// Output copies what a terminal says to its file, until the last process that has it is gone.
type Output struct {
	Terminal
	done    chan struct{} // closed when nothing more comes
	stopped chan struct{} // closed when nobody reads
}

// Follow begins to copy.
func Follow(terminal Terminal) *Output {
	o := &Output{Terminal: terminal, done: make(chan struct{}), stopped: make(chan struct{})}
	go o.copy()
	return o
}

// Done is closed when everything is in the file.
func (o *Output) Done() <-chan struct{} { return o.done }

// lastWords bounds Settle: a process that was moved out of the container may hold its terminal
// open.
const lastWords = 15 * time.Second

// Settle waits, once the container has ended, until what its terminal said is in the file.
func (o *Output) Settle() {
	select {
	case <-o.done:
	case <-time.After(lastWords):
	}
}

func (o *Output) copy() {
	defer close(o.stopped)
	if _, err := io.Copy(o.File, o.Outer); errors.Is(err, os.ErrDeadlineExceeded) {
		return // Pause sets the only deadline; what was read has been written
	}
	o.File.Close()
	close(o.done)
}

// Pause ends the copying until Resume. open says that there is more to come.
func (o *Output) Pause() (open bool, err error) {
	if err := o.Outer.SetReadDeadline(time.Unix(1, 0)); err != nil && !errors.Is(err, os.ErrClosed) {
		return false, fmt.Errorf("terminal of %s: %w", o.ID, err)
	}
	<-o.stopped
	select {
	case <-o.done:
		return false, nil
	default:
		return true, nil
	}
}

// Resume goes on after a Pause that left it open.
func (o *Output) Resume() {
	_ = o.Outer.SetReadDeadline(time.Time{}) // one that was set can be taken back
	o.stopped = make(chan struct{})
	go o.copy()
}

// Paused are outputs between Freeze and Thaw.
type Paused struct{ open []*Output }

// Freeze pauses outputs and returns the terminals of those that are open. After an error all go on.
func (p *Paused) Freeze(outputs []*Output) (terminals []Terminal, err error) {
	for _, o := range outputs {
		open, err := o.Pause()
		if err != nil {
			p.Thaw()
			return nil, err
		}
		if open {
			p.open, terminals = append(p.open, o), append(terminals, o.Terminal)
		}
	}
	return terminals, nil
}

// Thaw resumes them.
func (p *Paused) Thaw() {
	for _, o := range p.open {
		o.Resume()
	}
	p.open = nil
}

// Hand returns a descriptor of the launcher's end; o is nil where there is no terminal.
func (o *Output) Hand() (*os.File, error) {
	if o == nil {
		return nil, ErrNoTerminal
	}
	return Duplicate(o.Outer)
}

// TTYs are the outputs of containers; of gives the terminal's, nil for none.
func TTYs[C any](containers map[string]C, of func(C) *Output) (out []*Output) {
	for _, c := range containers {
		if tty := of(c); tty != nil {
			out = append(out, tty)
		}
	}
	return out
}
