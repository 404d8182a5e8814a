package oci

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/records"
	"golang.org/x/sys/unix"
)

// Config is what a launcher needs to know.
type Config struct {
	// Dir holds the records, bundles and the runtime's state; it is made with mode 0700.
	Dir string
	// Runtime is the name or path of the program; empty means runc, then crun.
	Runtime string
	// Log takes what nobody waits for; nil means slog.Default.
	Log *slog.Logger
	// Succeeds says that another program ran in this process before, whose children it has;
	// Terminals are those that it handed over.
	Succeeds  bool
	Terminals []launcher.Terminal
}

// Launcher implements launcher.Launcher.
type Launcher struct {
	dir       string
	runtime   string
	log       *slog.Logger
	hierarchy cgroups.Hierarchy
	hidden    []string // cgroup mounts that the runtime must not see
	shim      *os.File
	boot      string
	ignored   uint64 // launcher.IgnoredSignals
	watchers  sync.WaitGroup
	// slots bounds the runtimes that work at the same time: each is a large program.
	slots chan struct{}
	// ends is held for reading while an end is recorded or a stray reaped.
	ends sync.RWMutex

	mu         sync.Mutex
	closed     bool
	closing    chan struct{} // closed with closed
	containers map[string]*container
	frozen     launcher.Paused // between Freeze and Thaw
	// working are the runtimes that have not ended, by pid, with the times when they started;
	// starting counts those that are about to.
	working  map[int]uint64
	starting int
}

var (
	_ launcher.Launcher  = (*Launcher)(nil)
	_ launcher.Terminals = (*Launcher)(nil)
	_ launcher.Heirs     = (*Launcher)(nil)
)

// container is one that was started. Its fields up to done never change after start.
type container struct {
	record
	dir   string
	place placement
	done  chan struct{}
	exit  launcher.Exit // set before done is closed
	// clearing is held while the runtime forgets the container.
	clearing sync.Mutex
	// pidfd is nil before the start and after the end; mu of the launcher guards it.
	pidfd *os.File
	tty   *launcher.Output // nil without a terminal, and after the end
}

// New finds the runtime, opens the launcher's directory and adopts the containers it
// finds there. The process becomes a subreaper: the runtime leaves its containers to it.
func New(config Config) (*Launcher, error) {
	if config.Log == nil {
		config.Log = slog.Default()
	}
	dir, err := filepath.Abs(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	l := &Launcher{dir: dir, log: config.Log, containers: map[string]*container{}, working: map[int]uint64{}, closing: make(chan struct{}), slots: make(chan struct{}, 2*runtime.NumCPU())}
	if l.runtime, err = Find(config.Runtime); err != nil {
		return nil, err
	}
	for _, sub := range []string{"", "containers", "runtime"} {
		if err := os.MkdirAll(filepath.Join(l.dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("launcher: %w", err)
		}
	}
	if err := os.Chmod(l.dir, 0o700); err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	if l.boot, err = records.BootID(); err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	if l.hierarchy, err = cgroups.Detect(); err != nil {
		return nil, err
	}
	if l.ignored, err = launcher.IgnoredSignals(); err != nil {
		return nil, err
	}
	if l.hidden, err = foreignCgroups(l.hierarchy); err != nil {
		return nil, err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("launcher: become a subreaper: %w", err)
	}
	if l.shim, err = sealedShim(); err != nil {
		return nil, err
	}
	if err := l.recover(config.Terminals); err != nil {
		return l, err
	}
	if config.Succeeds {
		l.reapInherited()
	}
	return l, nil
}

// Find returns the path of an OCI runtime: the named one, or else runc or crun.
func Find(name string) (string, error) {
	names := []string{name}
	if name == "" {
		names = []string{"runc", "crun"}
	}
	for _, n := range names {
		if path, err := exec.LookPath(n); err == nil {
			return filepath.Abs(path)
		}
		// Debian has runc where only root's PATH looks.
		for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
			if path, err := exec.LookPath(filepath.Join(dir, n)); err == nil && !strings.Contains(n, "/") {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("OCI runtime %s is not installed: install it, or use --launcher=native", strings.Join(names, " or "))
}

// Close stops watching. Containers run on, for the next launcher.
func (l *Launcher) Close() error {
	l.mu.Lock()
	if !l.closed {
		close(l.closing)
	}
	l.closed = true
	for _, c := range l.containers {
		c.release()
	}
	l.mu.Unlock()
	l.watchers.Wait()
	return l.shim.Close()
}

// reserve enters a container under its id, so that no second one can be started.
func (l *Launcher) reserve(id, parent string) (*container, error) {
	if err := records.CheckID(id); err != nil {
		return nil, err
	}
	c := &container{record: record{ID: id, Parent: parent}, dir: filepath.Join(l.dir, "containers", id), done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.New("the launcher is closed")
	}
	if _, exists := l.containers[id]; exists {
		return nil, fmt.Errorf("container %s exists", id)
	}
	l.containers[id] = c
	return c, nil
}

func (l *Launcher) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.containers, id)
}

func (l *Launcher) find(id string) (*container, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.containers[id]
	if !ok {
		return nil, fmt.Errorf("container %s: %w", id, launcher.ErrUnknownContainer)
	}
	return c, nil
}

// Wait implements launcher.Launcher.
func (l *Launcher) Wait(ctx context.Context, id string) (launcher.Exit, error) {
	c, err := l.find(id)
	if err != nil {
		return launcher.Exit{}, err
	}
	select {
	case <-c.done:
		return c.exit, nil
	case <-ctx.Done():
		return launcher.Exit{}, ctx.Err()
	}
}

// Signal implements launcher.Launcher.
func (l *Launcher) Signal(_ context.Context, id string, signal syscall.Signal) error {
	c, err := l.find(id)
	if err != nil {
		return err
	}
	if c.ended() {
		return nil
	}
	if signal == syscall.SIGKILL {
		l.kill(c)
		return nil
	}
	if err := l.send(c, unix.Signal(signal)); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal %s: %w", id, err)
	}
	return nil
}

// List implements launcher.Launcher.
func (l *Launcher) List(context.Context) ([]launcher.Container, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]launcher.Container, 0, len(l.containers))
	for _, c := range l.containers {
		if c.PID == 0 {
			continue
		}
		one := launcher.Container{ID: c.ID, Parent: c.Parent, PID: c.PID}
		if c.ended() {
			exit := c.exit
			one.Exit = &exit
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b launcher.Container) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

func (c *container) ended() bool { return launcher.Closed(c.done) }
