// Package native is the launcher that needs nothing installed: it clones each
// container from a shim of some hundred bytes.
//
// It promises what the contract in package launcher says, and that no Go runtime and
// no file of the host is reachable from a container. It refuses to be the parent of
// anything that does not start with the shim.
package native

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/seccomp"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/records"
	"agora.dev/agora/agent/launcher/shim"
	"golang.org/x/sys/unix"
)

// Config is what a launcher needs to know.
type Config struct {
	// Dir holds the records of containers; it is made with mode 0700.
	Dir string
	// Log takes what nobody waits for; nil means slog.Default.
	Log *slog.Logger
	// Terminals are those that the program handed over which ran in this process before.
	Terminals []launcher.Terminal
}

var (
	_ launcher.Launcher  = (*Launcher)(nil)
	_ launcher.Terminals = (*Launcher)(nil)
	_ launcher.Heirs     = (*Launcher)(nil)
)

// Launcher implements launcher.Launcher.
type Launcher struct {
	dir       string
	log       *slog.Logger
	hierarchy cgroups.Hierarchy
	exeFile   *os.File
	filters   seccomp.Cache
	boot      string
	ignored   uint64 // launcher.IgnoredSignals
	watch     *watcher

	// forks is held for reading while a child exists that containers does not show.
	forks sync.RWMutex

	mu         sync.Mutex
	containers map[string]*container
	frozen     launcher.Paused // between Freeze and Thaw
}

// container is one that was started. Its fields up to done never change after start.
type container struct {
	record
	dir   string
	place placement
	done  chan struct{}
	exit  launcher.Exit // set before done is closed
	pidfd int
	live  bool             // started; until then only its starter may touch it
	tty   *launcher.Output // nil without a terminal; its outer end is closed with it
}

// New opens the launcher's directory and adopts the containers it finds there.
func New(config Config) (*Launcher, error) {
	if config.Log == nil {
		config.Log = slog.Default()
	}
	l := &Launcher{dir: config.Dir, log: config.Log, containers: map[string]*container{}}
	if err := os.MkdirAll(filepath.Join(l.dir, "containers"), 0o700); err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	if err := os.Chmod(l.dir, 0o700); err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	var err error
	if l.boot, err = records.BootID(); err != nil {
		return nil, fmt.Errorf("launcher: %w", err)
	}
	if l.hierarchy, err = cgroups.Detect(); err != nil {
		return nil, err
	}
	if l.ignored, err = launcher.IgnoredSignals(); err != nil {
		return nil, err
	}
	if err := l.sealShim(); err != nil {
		return nil, err
	}
	if l.watch, err = newWatcher(); err != nil {
		l.exeFile.Close()
		return nil, fmt.Errorf("launcher: %w", err)
	}
	if err := l.recover(); err != nil {
		return l, err
	}
	l.inherit(config.Terminals)
	return l, nil
}

// sealShim makes the one executable that containers start from: in memory, and
// unchangeable even by a root user who can open it.
func (l *Launcher) sealShim() error {
	image, err := shim.Image()
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("agora-init", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return fmt.Errorf("launcher: %w", err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, image); err != nil {
		return fmt.Errorf("launcher: %w", err)
	}
	if err := unix.Fchmod(fd, 0o555); err != nil {
		return fmt.Errorf("launcher: %w", err)
	}
	seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("launcher: %w", err)
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("launcher: %w", err)
	}
	l.exeFile = os.NewFile(uintptr(own), "agora-init")
	return nil
}

// Close stops watching. Containers run on, for the next launcher.
func (l *Launcher) Close() error {
	l.watch.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.containers {
		if c.pidfd > 0 {
			unix.Close(c.pidfd)
		}
	}
	return l.exeFile.Close()
}

// Start implements launcher.Launcher.
func (l *Launcher) Start(ctx context.Context, request launcher.Request) (int, error) {
	if request.Spec == nil || request.Spec.Linux == nil || (request.Spec.Process == nil && !request.Pause) {
		return 0, fmt.Errorf("start %s: the specification has no linux or process part", request.ID)
	}
	c, err := l.reserve(request.ID, "")
	if err != nil {
		return 0, err
	}
	if err := l.start(ctx, c, request); err != nil {
		l.discard(c)
		return 0, fmt.Errorf("start %s: %w", request.ID, err)
	}
	l.started(c)
	return c.PID, nil
}

func (l *Launcher) started(c *container) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.live = true
}

// reserve enters a container under its id, so that no second one can be started.
func (l *Launcher) reserve(id, parent string) (*container, error) {
	if err := records.CheckID(id); err != nil {
		return nil, err
	}
	c := &container{record: record{ID: id, Parent: parent}, dir: filepath.Join(l.dir, "containers", id), done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, exists := l.containers[id]; exists {
		return nil, fmt.Errorf("container %s exists", id)
	}
	l.containers[id] = c
	return c, nil
}

// discard undoes a start that failed.
func (l *Launcher) discard(c *container) {
	if c.pidfd > 0 {
		_ = unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0)
		_, _ = unix.Wait4(c.PID, nil, unix.WALL, nil)
		unix.Close(c.pidfd)
	}
	l.clear(c.place)
	os.RemoveAll(c.dir)
	l.mu.Lock()
	delete(l.containers, c.ID)
	l.mu.Unlock()
}

func (l *Launcher) find(id string) (*container, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.containers[id]
	if !ok || !c.live {
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

// send signals the init, unless its end has been seen.
func (l *Launcher) send(c *container, signal unix.Signal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.pidfd <= 0 {
		return nil
	}
	return unix.PidfdSendSignal(c.pidfd, signal, nil, 0)
}

// Destroy implements launcher.Launcher.
func (l *Launcher) Destroy(ctx context.Context, id string) error {
	c, err := l.find(id)
	if err != nil {
		return err
	}
	for _, child := range l.children(id) {
		if err := l.Destroy(ctx, child); err != nil && !errors.Is(err, launcher.ErrUnknownContainer) {
			return err
		}
	}
	if err := launcher.KillUntil(ctx, id, c.done, func() { l.kill(c) }); err != nil {
		return err
	}
	return l.empty(ctx, c.place)
}

// children are the containers nested in id and the processes that entered it.
func (l *Launcher) children(id string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	parents := map[string]string{}
	for other, c := range l.containers {
		if c.live {
			parents[other] = c.Parent
		}
	}
	return launcher.Below(id, parents)
}

func (l *Launcher) kill(c *container) {
	if c.OwnPID {
		_ = l.send(c, unix.SIGKILL)
		return
	}
	c.place.own.Kill()
	if len(c.place.own.Paths) == 0 {
		killChildren(c.PID)
	}
}

// Remove implements launcher.Launcher.
func (l *Launcher) Remove(ctx context.Context, id string) error {
	c, err := l.find(id)
	if err != nil {
		return err
	}
	if !c.ended() {
		return fmt.Errorf("remove %s: it is running", id)
	}
	if err := l.empty(ctx, c.place); err != nil {
		return err
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("remove %s: %w", id, err)
	}
	l.mu.Lock()
	delete(l.containers, id)
	l.mu.Unlock()
	return nil
}

// List implements launcher.Launcher.
func (l *Launcher) List(context.Context) ([]launcher.Container, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]launcher.Container, 0, len(l.containers))
	for _, c := range l.containers {
		if !c.live {
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
