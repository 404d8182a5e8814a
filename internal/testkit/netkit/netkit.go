//go:build linux

// Package netkit gives tests a network of their own.
//
// It promises that a test changes no interface, rule or setting of the machine, and that what
// it forgets is gone with its process. It refuses to help without root: such tests skip visibly.
package netkit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// private tells the process that it is the one in its own network.
const private = "AGORA_TEST_PRIVATE_NETWORK"

// Main runs the tests of a package in a process with network and mounts of its own. It is
// for TestMain, and gives what to exit with.
func Main(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run()
	}
	if os.Getenv(private) != "" {
		if err := enter(); err != nil {
			fmt.Fprintln(os.Stderr, "private network:", err)
			return 1
		}
		return m.Run()
	}
	err := again(os.Stdout, os.Args[1:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, "private network:", err)
		return 1
	}
	return 0
}

// again runs this program in a network and mounts of its own.
func again(out io.Writer, args ...string) error {
	command := exec.Command("/proc/self/exe", args...)
	command.Args[0] = os.Args[0]
	command.Env = append(os.Environ(), private+"=1")
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, out, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // Pdeathsig is about the thread
	defer runtime.UnlockOSThread()
	return command.Run()
}

// Alone runs one test of a package in a process with network and mounts of its own, for
// packages whose other tests need the machine's. It is true in that process, where the
// test goes on.
func Alone(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIP: needs root, for a network namespace of its own")
	}
	if os.Getenv(private) != "" {
		if err := enter(); err != nil {
			t.Fatal(err)
		}
		return true
	}
	var out bytes.Buffer
	if err := again(&out, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m"); err != nil {
		t.Errorf("in a network of its own: %v\n%s", err, out.String())
	}
	return false
}

// enter makes mounts private and brings loopback up.
func enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// Need skips a test that runs without a network of its own.
func Need(t testing.TB) {
	t.Helper()
	if os.Getenv(private) == "" {
		t.Skip("SKIP: needs root, for a network namespace of its own")
	}
}

// Inside runs do on a thread in another network namespace, which is never used again.
// What do opens stays there.
func Inside(t testing.TB, namespace string, do func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		fd, err := unix.Open(namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("in %s: %v", namespace, err)
	}
}
