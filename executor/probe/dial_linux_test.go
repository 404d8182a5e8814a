package probe_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"agora.dev/agora/executor/checks"
	"agora.dev/agora/executor/probe"
)

// The test binary is a web server in a network namespace of its own when its first
// argument says so.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		serve()
	}
	os.Exit(m.Run())
}

func serve() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err == nil {
		var loopback *unix.Ifreq
		if loopback, err = unix.NewIfreq("lo"); err == nil {
			loopback.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
			err = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, loopback)
		}
	}
	var listener net.Listener
	if err == nil {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
}

func inNamespace(t *testing.T) (pid int, port uint32) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	cmd := exec.Command(os.Args[0], "serve")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("server: %s", line)
	}
	return cmd.Process.Pid, uint32(n)
}

// Row 14 of mesos.md 11.3: each probe of Mesos starts a process. Here the agent enters the
// container's network namespace for the moment in which a socket is made.
func TestDefect14ProbeInAnotherNetworkNeedsNoProcess(t *testing.T) {
	pid, at := inNamespace(t)
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &before); err != nil {
		t.Fatal(err)
	}
	p := checks.Probe{Timeout: time.Minute, HTTP: &checks.HTTP{Scheme: "http", Port: at, Path: "/"}}
	for range 200 {
		r, err := probe.Network(t.Context(), p, probe.In(pid))
		if err != nil || *r.StatusCode != http.StatusTeapot {
			t.Fatalf("status %v, error %v", r.StatusCode, err)
		}
		here, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		if home, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", os.Getpid())); here != home {
			t.Fatal("a thread stayed in the container's namespace")
		}
	}
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &after); err != nil {
		t.Fatal(err)
	}
	if after != before {
		t.Error("a probe started a process")
	}
	if r, err := probe.Network(t.Context(), p, probe.Host); err == nil && *r.StatusCode == http.StatusTeapot {
		t.Error("the container's port answers on the host")
	}
}

func TestNamespaceOfADeadProcess(t *testing.T) {
	p := checks.Probe{Timeout: time.Minute, TCP: &checks.TCP{Port: 80}}
	if r, err := probe.Network(t.Context(), p, probe.In(1<<30)); err == nil {
		t.Errorf("result %+v", r)
	}
}

func BenchmarkHTTPProbe(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go http.Serve(listener, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	port := uint32(listener.Addr().(*net.TCPAddr).Port)
	p := checks.Probe{Timeout: time.Minute, HTTP: &checks.HTTP{Scheme: "http", Port: port, Path: "/"}}
	for b.Loop() {
		if _, err := probe.Network(b.Context(), p, probe.In(os.Getpid())); err != nil {
			b.Fatal(err)
		}
	}
}
