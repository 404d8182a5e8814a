// Package enginekit starts a real Docker Engine for a test: its own data, socket and networks.
//
// It promises that nothing of it stays, and that the machine's own Engine, if there is one, is left
// alone. It refuses to install anything: without dockerd the test is skipped, and says so.
package enginekit

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"agora.dev/agora/internal/testkit/imagekit"
)

// Image is an image that each Engine has: busybox, whose files are links to one program.
const Image = "test/busybox:1"

// Engine is a running one.
type Engine struct {
	Socket string
	// CgroupParent is the group that its containers are below.
	CgroupParent string
	Client       *client.Client
}

// patience bounds the start of an Engine, and its end.
const patience = time.Minute

// Start starts an Engine that ends with the test. It has network and mount namespaces of its own.
func Start(t testing.TB) *Engine {
	t.Helper()
	program, err := exec.LookPath("dockerd")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("SKIP: needs root and dockerd (Debian: docker.io)")
	}
	dir, err := os.MkdirTemp("", "engine") // short: it holds sockets
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{Socket: filepath.Join(dir, "docker.sock"), CgroupParent: "/agora-" + filepath.Base(dir)}
	t.Cleanup(func() { e.clean(t, dir) })
	said := &bytes.Buffer{}
	daemon := exec.Command(program, "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"),
		"--host", "unix://"+e.Socket, "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", e.CgroupParent, "--live-restore=false", "--userland-proxy=false")
	daemon.Stdout, daemon.Stderr = said, said
	daemon.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Setpgid: true}
	if err := daemon.Start(); err != nil {
		t.Fatalf("start dockerd: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait(); close(ended) }() // it is asked for again at the end of the test
	t.Cleanup(func() { stop(t, daemon, ended) })
	if e.Client, err = client.New(client.WithHost("unix://" + e.Socket)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Client.Close() })
	e.await(t, ended, said)
	e.load(t)
	return e
}

func (e *Engine) await(t testing.TB, ended <-chan error, said *bytes.Buffer) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := e.Client.Ping(context.Background(), client.PingOptions{NegotiateAPIVersion: true}); err == nil {
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("dockerd ended: %v\n%s", err, said)
		case <-tick.C:
		}
	}
	t.Fatal("dockerd does not answer")
}

func (e *Engine) load(t testing.TB) {
	t.Helper()
	files, err := imagekit.Busybox()
	if err != nil {
		t.Skip("SKIP: " + err.Error())
	}
	layer, err := imagekit.Tar(files...)
	if err != nil {
		t.Fatal(err)
	}
	image, err := imagekit.Image(v1.Config{Env: []string{"PATH=/bin"}, Cmd: []string{"sleep", "1000"}}, layer)
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "image.tar")
	if err := imagekit.DockerArchive(archive, Image, image); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	answer, err := e.Client.ImageLoad(context.Background(), f)
	if err != nil {
		t.Fatalf("load image: %v", err)
	}
	var text bytes.Buffer
	_, _ = text.ReadFrom(answer)
	answer.Close()
	if _, err := e.Client.ImageInspect(context.Background(), Image); err != nil {
		t.Fatalf("load image: %v\n%s", err, &text)
	}
}

// Labelled adds an image like Image with labels, and returns its name.
func (e *Engine) Labelled(t testing.TB, labels map[string]string) (name string) {
	t.Helper()
	name = "test/labelled:1"
	from, err := e.Client.ContainerCreate(context.Background(), client.ContainerCreateOptions{Config: &container.Config{Image: Image, Labels: labels}})
	if err == nil {
		_, err = e.Client.ContainerCommit(context.Background(), from.ID, client.ContainerCommitOptions{Reference: name})
	}
	if err == nil {
		_, err = e.Client.ContainerRemove(context.Background(), from.ID, client.ContainerRemoveOptions{})
	}
	if err != nil {
		t.Fatalf("label an image: %v", err)
	}
	return name
}

func stop(t testing.TB, daemon *exec.Cmd, ended <-chan error) {
	_ = daemon.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("dockerd does not end")
		_ = syscall.Kill(-daemon.Process.Pid, syscall.SIGKILL)
		<-ended
	}
}

// clean removes what an Engine leaves: cgroups, and files that may still be mounts.
func (e *Engine) clean(t testing.TB, dir string) {
	groups, _ := filepath.Glob("/sys/fs/cgroup/*" + e.CgroupParent) // dockerd uses hierarchies without controllers too
	for _, group := range append(groups, "/sys/fs/cgroup"+e.CgroupParent) {
		if err := removeGroup(group); err != nil {
			t.Errorf("cgroup of dockerd: %v", err)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range bytes.Split(mounts, []byte("\n")) {
		if fields := bytes.Fields(line); len(fields) > 4 && bytes.HasPrefix(fields[4], []byte(dir+"/")) {
			_ = unix.Unmount(string(fields[4]), unix.MNT_DETACH)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Errorf("files of dockerd: %v", err)
	}
}

// removeGroup removes a cgroup with those below it.
func removeGroup(dir string) error {
	below, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	for _, one := range below {
		if one.IsDir() {
			err = errors.Join(err, removeGroup(filepath.Join(dir, one.Name())))
		}
	}
	return errors.Join(err, os.Remove(dir))
}
