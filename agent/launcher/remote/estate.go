package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/launcher"
)

// estateVersion is that of what is handed over, and of the records of containers.
const estateVersion = 1

// will is what one program of the launcher's process leaves to the next, as JSON in a file in
// memory: numbers of descriptors that stay open. All else is in the records of containers.
type will struct {
	Version        int
	Lock, Listener int
	Terminals      []heirloom `json:",omitempty"`
}

// heirloom is launcher.Terminal.
type heirloom struct {
	ID          string
	Outer, File int
}

// estate is what was left, opened; empty when there was nobody before.
type estate struct {
	lock, listener *os.File
	terminals      []launcher.Terminal
}

// readWill refuses what a later program has written.
func readWill(fd int) (w will, err error) {
	f := os.NewFile(uintptr(fd), "handover")
	if f == nil {
		return w, fmt.Errorf("handover: descriptor %d is none", fd)
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxFrame))
	if err == nil {
		err = json.Unmarshal(b, &w)
	}
	switch {
	case err != nil:
		return w, fmt.Errorf("handover: %w", err)
	case w.Version != estateVersion:
		return w, fmt.Errorf("handover of version %d: this program reads %d", w.Version, estateVersion)
	}
	return w, nil
}

// proveReadable reads all that a successor would need.
func proveReadable(fd int, dir string) error {
	if _, err := readWill(fd); err != nil {
		return err
	}
	records, err := filepath.Glob(filepath.Join(dir, "containers", "*", "record.json"))
	if err != nil {
		return fmt.Errorf("records: %w", err)
	}
	for _, file := range records {
		var record struct {
			ID, Boot, Cgroup string
			PID              int
			Start            uint64
		}
		b, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err = errors.Join(err, json.Unmarshal(b, &record)); err != nil {
			return fmt.Errorf("record %s: %w", file, err)
		}
	}
	return nil
}

// inherit opens what was left. What cannot be read is as lost as after a kill: the records
// stay, and the process is the parent of its children still.
func inherit(o Options) (e estate) {
	o.reached("begun")
	w, err := readWill(o.Handover)
	if err != nil {
		o.Log.Error("nothing was handed over", "error", err)
		return e
	}
	e.lock, e.listener = own(w.Lock, "lock"), own(w.Listener, "listener")
	for _, t := range w.Terminals {
		e.terminals = append(e.terminals, launcher.Terminal{ID: t.ID, Outer: own(t.Outer, "terminal"), File: own(t.File, "output")})
	}
	// Executed by its descriptor, the program has a number for a name.
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0)
	o.Log.Info("launcher replaced in place", "terminals", len(e.terminals))
	return e
}

func own(fd int, name string) *os.File {
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}

// lockTimeout bounds the wait for the end of the launcher before. One that was killed stops to
// answer a moment before the kernel lets go of its lock.
const lockTimeout = 5 * time.Second

// lockFile keeps a second launcher out of dir.
func (e estate) lockFile(ctx context.Context, dir string) (*os.File, error) {
	lock := e.lock
	if lock == nil {
		var err error
		if lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return nil, fmt.Errorf("launcher: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return lock, nil
		}
		select {
		case <-ctx.Done():
			lock.Close()
			return nil, fmt.Errorf("launcher: another one has %s: %w", dir, err)
		case <-tick.C:
		}
	}
}

// listen goes on with the socket that was left: whoever dialled meanwhile waits in its queue.
func (e estate) listen(dir string) (*net.UnixListener, error) {
	if e.listener != nil {
		return inherited(e.listener)
	}
	return listen(dir)
}
