package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// probe times do n times and reports the median in microseconds.
func (s *suite) probe(name string, n int, do func() error) error {
	var took []float64
	for range n {
		start := time.Now()
		if err := do(); err != nil {
			return fmt.Errorf("floor %s: %w", name, err)
		}
		took = append(took, float64(time.Since(start).Nanoseconds())/1e3)
	}
	slices.Sort(took)
	s.floor[name] = quantile(took, 0.5)
	s.report(figure{Name: "floor/" + name, Value: s.floor[name], Unit: "us", Floor: s.floor[name],
		Note: fmt.Sprintf("p99 %.0f, max %.0f", quantile(took, 0.99), took[len(took)-1])})
	return nil
}

// floors probes what the machine alone needs.
func (s *suite) floors() error {
	dir, err := os.MkdirTemp("", "agora-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	probes := []struct {
		name string
		n    int
		do   func() error
	}{
		{"exec", 100, func() error { return exec.Command("/bin/true").Run() }},
		{"unshare", 50, unshared},
		{"overlay", 50, func() error { return overlay(dir) }},
		{"cgroup", 50, cgroup},
		{"fdatasync", 50, func() error { return fdatasync(dir) }},
		{"memcpy-64MiB", 20, memcpy()},
	}
	for _, p := range probes {
		if err := s.probe(p.name, p.n, p.do); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	if err := s.load(); err != nil {
		return err
	}
	return s.loopback()
}

// load says what else the machine does: a figure of a busy one is not that of a quiet one.
func (s *suite) load() error {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	var last float64
	if _, err := fmt.Sscan(string(text), &last); err != nil {
		return fmt.Errorf("read the load average: %w", err)
	}
	s.report(figure{Name: "floor/load", Value: last, Unit: "processes", Note: "load average of the last minute, as the run begins"})
	return nil
}

// unshared runs a command in new pid, mount, uts and ipc namespaces.
func unshared() error {
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC}
	return cmd.Run()
}

func overlay(dir string) error {
	at := map[string]string{}
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		at[name] = filepath.Join(dir, "overlay", name)
		if err := os.MkdirAll(at[name], 0o755); err != nil {
			return err
		}
	}
	options := "lowerdir=" + at["lower"] + ",upperdir=" + at["upper"] + ",workdir=" + at["work"]
	if err := syscall.Mount("overlay", at["merged"], "overlay", 0, options); err != nil {
		return err
	}
	return syscall.Unmount(at["merged"], 0)
}

// cgroup makes and removes one group with a memory limit.
func cgroup() error {
	base, file := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		base, file = "/sys/fs/cgroup", "memory.max"
	}
	group := filepath.Join(base, fmt.Sprintf("agora-bench-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		return err
	}
	err := os.WriteFile(filepath.Join(group, file), []byte("67108864"), 0)
	if rm := os.Remove(group); err == nil {
		err = rm
	}
	return err
}

func fdatasync(dir string) error {
	file, err := os.OpenFile(filepath.Join(dir, "sync"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(make([]byte, 4096)); err != nil {
		return err
	}
	return syscall.Fdatasync(int(file.Fd()))
}

func memcpy() func() error {
	from, to := make([]byte, 64<<20), make([]byte, 64<<20)
	return func() error {
		copy(to, from)
		return nil
	}
}

// loopback times one byte there and back over TCP.
func (s *suite) loopback() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	one := make([]byte, 1)
	return s.probe("loopback", 1000, func() error {
		if _, err := conn.Write(one); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, one)
		return err
	})
}
