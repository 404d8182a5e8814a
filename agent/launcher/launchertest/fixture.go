// Package launchertest is the suite that every launcher passes.
//
// It promises to leave the machine as it was: each test compares processes, cgroups
// and mounts with what it found. It refuses to run without root, and skips visibly.
package launchertest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/seccomp"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/template"
)

// Factory opens a launcher on a directory; opening it again after close is a restart.
type Factory func(t testing.TB, dir string) (l launcher.Launcher, close func())

// Rig is a launcher with a root file system of busybox.
type Rig struct {
	launcher.Launcher
	T       testing.TB
	Dir     string // the launcher's
	Root    string // layer of busybox
	Scratch string
	Cgroup  string
	close   func()
	open    Factory
	users   bool // each container has a user namespace
}

var serial atomic.Int64

// NewRig opens a launcher and prepares busybox, or skips.
func NewRig(t testing.TB, open Factory) *Rig {
	t.Helper()
	r := &Rig{T: t, open: open, Dir: filepath.Join(t.TempDir(), "launcher"), Scratch: t.TempDir(),
		Cgroup: "/agora-test-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(serial.Add(1), 10)}
	r.Root = Busybox(t)
	h, err := cgroups.Detect()
	if err != nil {
		t.Fatal(err)
	}
	r.Launcher, r.close = open(t, r.Dir)
	t.Cleanup(func() {
		list, err := r.List(context.Background())
		if err != nil {
			t.Errorf("the launcher does not say what runs, so all in %s is killed: %v", r.Cgroup, err)
			killAll(h, r.Cgroup)
		}
		for _, c := range list {
			_ = r.Destroy(context.Background(), c.ID)
			_ = r.Remove(context.Background(), c.ID)
		}
		r.close()
		if busy, err := h.At(r.Cgroup).Remove(); busy || err != nil {
			t.Errorf("cgroup %s was left: busy %v, %v", r.Cgroup, busy, err)
		}
	})
	return r
}

// killAll ends the processes of the containers beneath a group without a launcher.
func killAll(h cgroups.Hierarchy, path string) {
	for _, dir := range h.At(path).Dirs() {
		groups, _ := os.ReadDir(dir)
		for _, group := range groups {
			if group.IsDir() {
				h.At(filepath.Join(path, group.Name())).Kill()
			}
		}
	}
}

// Busybox returns a directory that is a root file system, or skips the test.
func Busybox(t testing.TB) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIP: containers need root")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("SKIP: busybox is missing; apt-get install busybox-static")
	}
	root := filepath.Join(t.TempDir(), "busybox")
	for _, dir := range []string{"bin", "etc", "tmp", "root", "mnt"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"bin/busybox": string(b), "etc/passwd": "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n", "etc/group": "root:x:0:\nnogroup:x:65534:\n"}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for applet := range strings.FieldsSeq("sh ls cat echo sleep id env pwd true false kill mount ps hostname unshare dd seq touch stat head wc grep tty stty mkdir ln readlink cut sort") {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// Request makes a container that runs a shell script, with output in Scratch.
func (r *Rig) Request(id string, script string) launcher.Request {
	r.T.Helper()
	dir := filepath.Join(r.Scratch, id)
	for _, sub := range []string{"upper", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			r.T.Fatal(err)
		}
	}
	spec := template.Spec(filepath.Join(dir, "root"), "sh", "-c", script)
	spec.Linux.CgroupsPath = filepath.Join(r.Cgroup, id)
	filter, err := seccomp.Default(template.Capabilities())
	if err != nil {
		r.T.Fatal(err)
	}
	spec.Linux.Seccomp = filter
	request := launcher.Request{ID: id, Spec: spec,
		Overlay: &launcher.Overlay{Lower: []string{r.Root}, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")},
		Stdout:  filepath.Join(dir, "stdout"), Stderr: filepath.Join(dir, "stderr")}
	if r.users {
		r.separate(&request)
	}
	return request
}

// Reopen restarts the launcher.
func (r *Rig) Reopen() {
	r.close()
	r.Launcher, r.close = r.open(r.T, r.Dir)
}

// Run starts a container, waits for its end and returns its exit and output.
func (r *Rig) Run(request launcher.Request) (launcher.Exit, string) {
	r.T.Helper()
	ctx := r.Context()
	if _, err := r.Start(ctx, request); err != nil {
		r.T.Fatal(err)
	}
	exit, err := r.Wait(ctx, request.ID)
	if err != nil {
		r.T.Fatal(err)
	}
	return exit, r.Output(request)
}

// Output returns what the container has written so far, standard error last.
func (r *Rig) Output(request launcher.Request) string {
	out, _ := os.ReadFile(request.Stdout)
	errs, _ := os.ReadFile(request.Stderr)
	return string(out) + string(errs)
}

// Context bounds what a test waits for.
func (r *Rig) Context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	r.T.Cleanup(cancel)
	return ctx
}

// Await polls until a container has written want.
func (r *Rig) Await(request launcher.Request, want string) {
	r.T.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if strings.Contains(r.Output(request), want) {
			return
		}
	}
	r.T.Fatalf("container %s wrote %q, want %q", request.ID, r.Output(request), want)
}

// Close ends the launcher without its containers.
func (r *Rig) Close() { r.close(); r.close = func() {} }

// awaitEnd polls until nothing writes to the container's files any more: its cgroups
// have no process.
func (r *Rig) awaitEnd(request launcher.Request) {
	r.T.Helper()
	h, err := cgroups.Detect()
	if err != nil {
		r.T.Fatal(err)
	}
	group := h.At(request.Spec.Linux.CgroupsPath)
	if h.V2 {
		group = h.At(filepath.Join(request.Spec.Linux.CgroupsPath, "leaf"))
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if len(group.Procs()) == 0 {
			return
		}
	}
	r.T.Fatalf("container %s does not end", request.ID)
}
