package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/records"
	"golang.org/x/sys/unix"
)

// observe has the container finished when its init ends.
func (l *Launcher) observe(c *container) error {
	pidfd, err := c.open()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		pidfd.Close()
		return errors.New("the launcher is closed")
	}
	c.pidfd = pidfd
	conn, err := pidfd.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch %s: %w", c.ID, err)
	}
	l.watchers.Go(func() {
		err := conn.Read(func(fd uintptr) bool {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(poll, 0)
			return n > 0 && err == nil
		})
		if err == nil { // not closed
			l.finish(c)
		}
	})
	return nil
}

// finish writes the exit record and tells those who wait. The record is written before
// the init is reaped: a launcher that dies in between loses nothing.
func (l *Launcher) finish(c *container) {
	err := l.conclude(c)
	l.lastOutput(c)
	close(c.done)
	if errors.Is(err, unix.ECHILD) {
		l.reapLater(c.PID)
	}
}

// conclude writes the exit record and reaps the init; the error is that of reaping.
func (l *Launcher) conclude(c *container) error {
	l.ends.RLock()
	defer l.ends.RUnlock()
	exit := launcher.Exit{}
	exit.Status, exit.Known = records.Status(c.dir)
	usage := c.place.limits.Exhaustion()
	exit.OOM, exit.Limit, exit.Peak = usage.LimitHit, usage.Limit, usage.Peak
	if exit.Known {
		l.save(c, exit)
	}
	var raw unix.WaitStatus
	pid, err := 0, error(nil)
	if c.Boot == l.boot {
		pid, err = unix.Wait4(c.PID, &raw, unix.WALL|unix.WNOHANG, nil)
	}
	if !exit.Known {
		// Its init can only have been killed: otherwise it writes the status.
		exit.Status = int32(unix.SIGKILL)
		if err == nil && pid == c.PID && pid != 0 {
			exit.Status, exit.Known = int32(raw), true
		}
		l.save(c, exit)
	}
	if !c.OwnPID {
		c.place.own.Kill()
	}
	c.exit = exit
	return err
}

func (c *container) release() {
	if c.pidfd != nil {
		c.pidfd.Close()
		c.pidfd = nil
	}
	if c.tty != nil {
		c.tty.Outer.Close()
		c.tty = nil
	}
}

func (l *Launcher) save(c *container, exit launcher.Exit) {
	if err := records.Write(filepath.Join(c.dir, "exit.json"), exit); err != nil && !errors.Is(err, os.ErrNotExist) {
		l.log.Error("exit record not written", "container", c.ID, "error", err)
	}
}

// send signals the init, unless its end has been seen.
func (l *Launcher) send(c *container, signal unix.Signal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.pidfd == nil {
		return nil
	}
	return unix.PidfdSendSignal(int(c.pidfd.Fd()), signal, nil, 0)
}

func (l *Launcher) kill(c *container) {
	if c.OwnPID || c.place.path == "" {
		_ = l.send(c, unix.SIGKILL)
		return
	}
	c.place.own.Kill()
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
	return l.clear(ctx, c)
}

// children are the containers nested in id and the processes that entered it.
func (l *Launcher) children(id string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	parents := map[string]string{}
	for other, c := range l.containers {
		parents[other] = c.Parent
	}
	return launcher.Below(id, parents)
}

// clear has the runtime forget the container, and removes its groups.
func (l *Launcher) clear(ctx context.Context, c *container) error {
	// Who ends a container and who removes it may come at once, and a runtime deletes once.
	c.clearing.Lock()
	defer c.clearing.Unlock()
	if _, err := os.Stat(filepath.Join(l.dir, "runtime", c.ID)); err == nil {
		in := invocation{scene: scene{hidden: l.hidden}, argv: []string{"delete", "--force"}, id: c.ID}
		if err := l.invoke(ctx, in, nil); err != nil {
			return err
		}
	}
	return l.empty(ctx, c.place)
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
	if err := l.clear(ctx, c); err != nil {
		return err
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("remove %s: %w", id, err)
	}
	l.forget(id)
	return nil
}

// discard undoes a start that failed.
func (l *Launcher) discard(c *container) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if c.PID != 0 {
		if pidfd, err := c.open(); err == nil {
			_ = unix.PidfdSendSignal(int(pidfd.Fd()), unix.SIGKILL, nil, 0)
			pidfd.Close()
		}
	}
	if err := l.clear(ctx, c); err != nil {
		l.log.Warn("a container that did not start has left something", "container", c.ID, "error", err)
	}
	if pid, err := c.pidFile(); err == nil && c.Boot == l.boot {
		l.reapLater(pid)
	}
	l.mu.Lock()
	c.release()
	l.mu.Unlock()
	os.RemoveAll(c.dir)
	l.forget(c.ID)
}
