package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/internal/buildinfo"
)

// Bounds of an upgrade: how long calls under way are waited for, and the new program's proof.
const (
	quietTimeout = 10 * time.Second
	proofTimeout = 20 * time.Second
)

// hand is what the process holds beside its launcher.
type hand struct {
	options  Options
	listener *net.UnixListener
	lock     *os.File
}

func (o Options) reached(point string) {
	if o.at != nil {
		o.at(point)
	}
}

// ownBuild is the stamp of the running program.
func ownBuild() (string, error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer self.Close()
	return buildinfo.ID(self)
}

// upgrade executes the program in this process, which keeps its pid and its children. It
// returns only when it has not; then everything goes on as before.
func (s *server) upgrade(ctx context.Context, program *os.File) error {
	heirs, ok := s.launcher.(launcher.Heirs)
	if !ok {
		return fmt.Errorf("upgrade: a %T cannot be replaced", s.launcher)
	}
	if err := s.quiet(ctx); err != nil {
		return err
	}
	defer s.calls.Unlock()
	terminals, err := heirs.Freeze()
	if err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	defer heirs.Thaw()
	s.hand.options.reached("frozen")
	w := will{Version: estateVersion}
	kept, err := s.hand.bequeath(&w, terminals)
	if err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	testament, err := written(w)
	if err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	defer testament.Close()
	if err := s.hand.prove(ctx, program, testament); err != nil {
		return fmt.Errorf("upgrade: the new program does not take over: %w", err)
	}
	s.hand.options.reached("proved")
	s.log.Info("launcher is replaced in place", "terminals", len(terminals))
	return fmt.Errorf("upgrade: %w", replace(program, testament, kept))
}

// quiet waits until no call is at work, and then holds them back.
func (s *server) quiet(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(quietTimeout); !s.calls.TryLock(); <-tick.C {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(end) {
			return fmt.Errorf("upgrade: calls are at work for more than %s: try again", quietTimeout)
		}
	}
	return nil
}

// bequeath fills in the descriptors, and returns them.
func (h hand) bequeath(w *will, terminals []launcher.Terminal) (kept []int, err error) {
	number := func(file syscall.Conn) (fd int) {
		raw, failed := file.SyscallConn()
		if failed == nil {
			failed = raw.Control(func(n uintptr) { fd = int(n) })
		}
		err = errors.Join(err, failed)
		kept = append(kept, fd)
		return fd
	}
	w.Lock, w.Listener = number(h.lock), number(h.listener)
	for _, t := range terminals {
		w.Terminals = append(w.Terminals, heirloom{ID: t.ID, Outer: number(t.Outer), File: number(t.File)})
	}
	return kept, err
}

// written is a will in memory.
func written(w will) (*os.File, error) {
	b, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("agora-handover", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "agora-handover")
	if _, err := f.Write(b); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// arguments are those of this process for its next program.
func arguments(more string) []string {
	own := slices.DeleteFunc(slices.Clone(os.Args), func(a string) bool { return strings.HasPrefix(a, "--handover=") })
	return append(own, more)
}

// prove runs the new program beside this one: it has to start, and to read what it would get.
func (h hand) prove(ctx context.Context, program, testament *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "/proc/self/fd/3")
	cmd.Err = nil // descriptor 3 is the child's
	cmd.Args, cmd.ExtraFiles, cmd.Stderr = arguments("--prove=4"), []*os.File{program, testament}, &said
	if err := cmd.Run(); err != nil {
		return errors.Join(err, errors.New(strings.TrimSpace(said.String())))
	}
	return nil
}

// replace executes the program with the kept descriptors open.
func replace(program, testament *os.File, kept []int) error {
	path, err := descriptor(program)
	if err != nil {
		return err
	}
	last, err := descriptor(testament)
	if err != nil {
		return err
	}
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	kept = append(kept, last)
	for i, fd := range kept {
		if _, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			kept = kept[:i]
			break
		}
	}
	if err == nil {
		err = syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", path), arguments(fmt.Sprintf("--handover=%d", last)), os.Environ())
	}
	for _, fd := range kept {
		unix.CloseOnExec(fd)
	}
	return err
}

// Build is the stamp of the launcher's program. A launcher that knows no such question gives an error.
func (c *Client) Build(ctx context.Context) (string, error) {
	a, err := c.do(ctx, call{Method: "build"})
	return a.Build, err
}

// Lacks are the features of this build that the launcher does not have.
func (k *Keeper) Lacks(ctx context.Context) ([]string, error) {
	return retry(ctx, k, func(c *Client) ([]string, error) {
		a, err := c.do(ctx, call{Method: "build"})
		if errors.Is(err, ErrAway) {
			return nil, err
		}
		return launcher.Missing(launcher.Features(), a.Features), nil // one that knows no such question has none
	})
}

// upgrade has the launcher's process execute a program in place. It is gone as a partner
// then: the connection breaks.
func (c *Client) upgrade(ctx context.Context, program *os.File) error {
	_, err := c.do(ctx, call{Method: "upgrade"}, program)
	if errors.Is(err, ErrAway) {
		return nil
	}
	return err
}

// Upgrade has the launcher's process execute this program in place, if it runs another one:
// containers, their statuses and terminals stay with it. After an error the launcher is what it was. It must be called
// before other calls.
func (k *Keeper) Upgrade(ctx context.Context) (replaced bool, err error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return false, fmt.Errorf("upgrade the launcher: %w", err)
	}
	defer self.Close()
	return k.upgradeTo(ctx, self)
}

func (k *Keeper) upgradeTo(ctx context.Context, program *os.File) (replaced bool, err error) {
	wanted, err := buildinfo.ID(program)
	if err != nil {
		return false, fmt.Errorf("upgrade the launcher: %w", err)
	}
	build := func() (string, error) { return retry(ctx, k, func(c *Client) (string, error) { return c.Build(ctx) }) }
	has, err := build()
	if err != nil || has == wanted {
		return false, err
	}
	if err := k.current().upgrade(ctx, program); err != nil {
		return false, err
	}
	if has, err = build(); err == nil && has != wanted {
		err = errors.New("upgrade the launcher: another program answers than was given")
	}
	return err == nil, err
}
