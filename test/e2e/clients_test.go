//go:build clients

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// conformance is the folder of a client that this project did not write.
func conformance(client string) string { return filepath.Join("..", "conformance", client) }

// buildClient builds a program of a client's module. Mesos-go's msh asks for a terminal
// with cgo; nothing else here does.
func buildClient(t *testing.T, module, program, cgo string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "client")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, program)
	build.Dir, build.Env = conformance(module), append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", program, err, out)
	}
	return path
}

// waitFor waits until a program has ended with exit code 0.
func (p *process) waitFor(within time.Duration) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(within):
		p.t.Fatalf("%s still runs after %v:\n%s", p.name, within, p.output())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Fatalf("%s ended with %d:\n%s", p.name, code, p.output())
	}
}

func TestUnchangedClientsMshAndMwatch(t *testing.T) {
	const cmd = "github.com/mesos/mesos-go/api/v1/cmd/"
	mwatch := buildClient(t, "mesosgo", cmd+"mwatch", "0")
	msh := buildClient(t, "mesosgo", cmd+"msh", "1")
	d := startDev(t)
	host, port, _ := strings.Cut(d.master, ":")
	watch := startProgram(t, mwatch, "-master", host, "-port", port)
	run := func(mode string) {
		p := startProgram(t, msh, "-master", d.master, "-cpus", "0.1", "-memory", "32", mode, "--", "echo", "hello")
		p.waitFor(time.Minute)
		if !strings.Contains(p.output(), "TASK_FINISHED") {
			t.Errorf("msh %s:\n%s\nwant TASK_FINISHED", mode, p.output())
		}
	}
	run("-pod=false")
	// mwatch says nothing before its first event, so pods run until its stream has shown one.
	eventually(t, "mwatch saw a pod's life", time.Minute, func() error {
		run("-pod=true")
		out := watch.output()
		for _, want := range []string{"FRAMEWORK_ADDED", "TASK_ADDED", "TASK_RUNNING", "TASK_FINISHED", "FRAMEWORK_REMOVED"} {
			if !strings.Contains(out, want) {
				return errors.New("no " + want + " in\n" + out)
			}
		}
		return nil
	})
}

func TestUnchangedClientGoMarathon(t *testing.T) {
	program := buildClient(t, "testdata/gomarathon", ".", "0")
	d := startDev(t)
	startProgram(t, program, "http://"+d.marathon).waitFor(4 * time.Minute)
}

func TestUnchangedClientMesosFramework(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"package.json", "main.js"} {
		data, err := os.ReadFile(filepath.Join(conformance("testdata/mesosframework"), name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
	// The library writes its log to ./logs, which it does not make.
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := startDev(t)
	host, port, _ := strings.Cut(d.master, ":")
	p := startProgram(t, "/bin/sh", "-c", `cd "$1" && exec node main.js "$2" "$3"`, "sh", dir, host, port)
	p.waitFor(2 * time.Minute)
	for _, want := range []string{"update TASK_RUNNING REASON_RECONCILIATION", "update TASK_KILLED", "torn down"} {
		if !strings.Contains(p.output(), want) {
			t.Errorf("no %q in\n%s", want, p.output())
		}
	}
}
