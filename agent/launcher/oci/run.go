package oci

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"agora.dev/agora/agent/launcher/native"
	"agora.dev/agora/agent/launcher/records"
	"agora.dev/agora/agent/launcher/shim"
	"golang.org/x/sys/unix"
)

// invocation is one call of the runtime.
type invocation struct {
	scene scene
	argv  []string
	id    string // the container that the runtime works on
	job   *job   // nil when no init is started
	files [3]*os.File
	// move holds the init back until it is in its own cgroups.
	move bool
}

// run has the runtime start an init and waits until the command has been executed.
func (l *Launcher) run(ctx context.Context, c *container, in invocation) error {
	inner, err := in.job.program()
	if err != nil {
		return err
	}
	in.argv = append(in.argv, "--pid-file", filepath.Join(c.dir, "pid"), "--preserve-fds", strconv.Itoa(passed))
	var plumbing pipes
	defer plumbing.close()
	if err := plumbing.open(inner, filepath.Join(c.dir, "status")); err != nil {
		return err
	}
	if err := l.invoke(ctx, in, plumbing.theirs(in.files, l.shim)); err != nil {
		return errors.Join(plumbing.failure(inner), err)
	}
	plumbing.closeTheirs()
	pid, err := c.pidFile()
	if err != nil {
		return fmt.Errorf("pid file of the runtime: %w", err)
	}
	l.mu.Lock()
	c.PID = pid
	l.mu.Unlock()
	if c.Start, err = records.StartTime(c.PID); err != nil {
		return err
	}
	if err := c.write(); err != nil {
		return err
	}
	if in.move {
		if err := enterGroup(c.place.own, c.PID); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(c.PID, syscall.SIGKILL) })
	err = plumbing.failure(inner)
	if !stop() {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	return l.observe(c)
}

// invoke runs the runtime in its scene to its end. passed are the descriptors for the
// init, from programFD on, with the init's program last.
func (l *Launcher) invoke(ctx context.Context, in invocation, passed []*os.File) error {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	argv := slices.Concat([]string{l.runtime, "--root", filepath.Join(l.dir, "runtime")}, in.argv, []string{in.id})
	program, err := in.scene.program(argv)
	if err != nil {
		return err
	}
	code, err := programFile(program)
	if err != nil {
		return err
	}
	defer code.Close()
	output, err := memory("agora-output")
	if err != nil {
		return err
	}
	defer output.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	report, reportEnd, err := os.Pipe()
	if err != nil {
		return err
	}
	defer report.Close()
	files := []*os.File{null, null, output, code}
	files = append(files, passed...)
	for len(files) < reportFD {
		files = append(files, null)
	}
	files = append(files, reportEnd)
	if u := in.scene.users; u != nil {
		users, err := native.UserNamespace(l.shim, u.mappings)
		if err != nil {
			return errors.Join(err, reportEnd.Close())
		}
		defer users.Close()
		files = append(files, users)
	}
	pid, err := l.fork(files)
	reportEnd.Close()
	if err != nil {
		return err
	}
	status, err := l.wait(ctx, pid)
	failure, _ := io.ReadAll(report) // its only writer has ended
	if err == nil && len(failure) >= 8 {
		return startError(program, failure)
	}
	if err == nil && status != 0 {
		return fmt.Errorf("%s %s: %s", filepath.Base(l.runtime), in.argv[0], message(output, status))
	}
	return err
}

// patience is what a runtime gets to end by itself when nobody wants its result any
// more: one that is killed leaves its children behind.
const patience = 5 * time.Second

func (l *Launcher) wait(ctx context.Context, pid int) (status unix.WaitStatus, err error) {
	ended := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		select {
		case <-ended:
			return
		case <-ctx.Done():
		}
		select {
		case <-ended:
		case <-time.After(patience):
			l.killTree(pid)
		}
	})
	// WNOWAIT keeps the pid ours until the killer is gone.
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	}
	close(ended)
	killer.Wait()
	l.mu.Lock()
	delete(l.working, pid)
	l.mu.Unlock()
	l.reapLeft(pid)
	if _, err = unix.Wait4(pid, &status, 0, nil); err != nil {
		return status, err
	}
	return status, ctx.Err()
}

// killTree ends a runtime and what it has made so far, which comes to us.
func (l *Launcher) killTree(pid int) {
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", tree[i]))
		for _, file := range files {
			b, _ := os.ReadFile(file)
			for field := range strings.FieldsSeq(string(b)) {
				if child, err := strconv.Atoi(field); err == nil {
					tree = append(tree, child)
				}
			}
		}
	}
	for _, each := range tree {
		_ = syscall.Kill(each, syscall.SIGKILL)
	}
	for _, child := range tree[1:] {
		l.reapLater(child)
	}
}

func (l *Launcher) fork(files []*os.File) (pid int, err error) {
	fds := make([]uintptr, len(files))
	for i, f := range files {
		fds[i] = f.Fd()
	}
	l.mu.Lock()
	l.starting++
	l.mu.Unlock()
	defer func() {
		began, _ := records.StartTime(pid)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.starting--; err == nil {
			l.working[pid] = began
		}
	}()
	pid, err = syscall.ForkExec(fmt.Sprintf("/proc/self/fd/%d", l.shim.Fd()), []string{"agora-scene"}, &syscall.ProcAttr{
		Dir: "/", Files: fds, Env: []string{}, Sys: &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS}})
	if err != nil {
		return 0, fmt.Errorf("clone: %w", err)
	}
	return pid, nil
}

// message is the last line that the runtime wrote, or how it ended.
func message(output *os.File, status unix.WaitStatus) string {
	b := make([]byte, 4096)
	n, _ := output.ReadAt(b, 0)
	lines := bytes.Split(bytes.TrimSpace(b[:n]), []byte("\n"))
	if last := string(lines[len(lines)-1]); last != "" {
		return last
	}
	if status.Signaled() {
		return "killed by signal " + strconv.Itoa(int(status.Signal()))
	}
	return "exit status " + strconv.Itoa(status.ExitStatus())
}

// StartError is the first call of a container's start that failed.
type StartError struct {
	Step  string
	Errno syscall.Errno
}

// Error names the step and the cause.
func (e *StartError) Error() string { return e.Step + ": " + e.Errno.Error() }

// Unwrap gives the cause.
func (e *StartError) Unwrap() error { return e.Errno }

func startError(program *shim.Program, report []byte) error {
	at, errno := binary.LittleEndian.Uint32(report), binary.LittleEndian.Uint32(report[4:])
	return &StartError{Step: program.Name(int(at)), Errno: syscall.Errno(errno)}
}
