// Package e2e drives the binary as a user would: real processes, containers and kernels.
// It needs root; without it every test says so and is skipped.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is bin/agora, built once for all tests.
var binary string

// builtAlready tells a test that runs in a process of its own where the binary is.
const builtAlready = "AGORA_E2E_BINARY"

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if binary = os.Getenv(builtAlready); binary != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "agora-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "agora")
		build := exec.Command("go", "build", "-o", binary, "../../cmd/agora")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build agora: %v\n%s", err, out)
			return 1
		}
		os.Setenv(builtAlready, binary)
		return m.Run()
	}())
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: containers, cgroups and mounts are real")
	}
}

// process is a program that a test has started.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	name string
	mu   sync.Mutex
	out  bytes.Buffer
	done chan struct{}
	// farewell is the signal that ends it with the test.
	farewell syscall.Signal
}

// start runs agora with args in the background; the test's end stops it.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(binary, args...), done: make(chan struct{}),
		farewell: syscall.SIGTERM}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop(p.farewell)
		if t.Failed() {
			t.Logf("output of %s:\n%s", name, p.output())
		}
	})
	return p
}

func (p *process) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(data)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// stop sends a signal and waits for the end.
func (p *process) stop(signal syscall.Signal) {
	p.t.Helper()
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.done:
	case <-time.After(60 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
		p.t.Errorf("%s did not end within 60 s of %v", p.name, signal)
	}
}

// agora runs a command to its end.
func agora(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("agora %v: %v", args, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// eventually waits until check returns no error.
func eventually(t *testing.T, what string, within time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	var err error
	for time.Now().Before(deadline) {
		if err = check(); err == nil {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatalf("%s: not within %v: %v", what, within, err)
}

// freePort is a port that nobody listens on now. It is below those that the kernel gives to
// outgoing connections, and below those that agents offer: neither takes it meanwhile.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 10000 + rand.IntN(20000)
		if _, before := givenPorts.LoadOrStore(port, true); before {
			continue
		}
		if listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			listener.Close()
			return port
		}
	}
	t.Fatal("no free port found")
	return 0
}

// givenPorts are those that freePort has chosen: whoever got one may not listen yet.
var givenPorts sync.Map

func get(url string) (string, error) {
	response, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}

// dev is a cluster started by agora dev.
type dev struct {
	*process
	master, marathon string
	state            string
	ports            []string
}

// startDev starts agora dev with free ports and a state directory of its own.
func startDev(t *testing.T, args ...string) *dev {
	t.Helper()
	return startDevIn(t, t.TempDir(), args...)
}

func startDevIn(t *testing.T, state string, args ...string) *dev {
	t.Helper()
	return startDevOn(t, state, freePort(t), freePort(t), freePort(t), args...)
}

func startDevOn(t *testing.T, state string, master, marathon, agent int, args ...string) *dev {
	t.Helper()
	needRoot(t)
	d := &dev{state: state}
	d.ports = []string{"--state-dir", state, "--master-port", strconv.Itoa(master),
		"--marathon-port", strconv.Itoa(marathon), "--agent-port", strconv.Itoa(agent)}
	d.master, d.marathon = fmt.Sprintf("127.0.0.1:%d", master), fmt.Sprintf("127.0.0.1:%d", marathon)
	t.Cleanup(func() {
		if t.Failed() {
			log, err := os.ReadFile(filepath.Join(state, "agora.log"))
			t.Logf("agora.log of %s (%v):\n%s", state, err, log)
		}
	})
	d.process = start(t, "agora dev", append(append([]string{"dev"}, d.ports...), args...)...)
	eventually(t, "agora dev is up", 60*time.Second, func() error {
		if strings.Contains(d.output(), "Ctrl-C ends it") {
			return nil
		}
		select {
		case <-d.done:
			t.Fatalf("agora dev ended: %s", d.output())
		default:
		}
		return errors.New(d.output())
	})
	return d
}

// agora runs a command against this cluster.
func (d *dev) agora(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return agora(t, append([]string{"--master", d.master, "--marathon", d.marathon}, args...)...)
}
