// Package enginekit starts a real Docker Engine for a test or a benchmark: its own data, socket and networks.
//
// It promises that nothing of it stays, and that the machine's own Engine, if there is one, is left
// alone. It refuses to install anything: without dockerd the test is skipped, and says so.
package enginekit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

	dir    string
	daemon *exec.Cmd
	ended  chan error // told once, then closed
}

// ErrMissing says what has to be installed.
var ErrMissing = errors.New("needs root, dockerd (Debian: docker.io) and busybox-static")

// patience bounds the start of an Engine, and its end.
const patience = time.Minute

// Start starts an Engine that ends with the test.
func Start(t testing.TB) *Engine {
	t.Helper()
	e, err := Open()
	if errors.Is(err, ErrMissing) {
		t.Skip("SKIP: " + err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// Open starts an Engine. It has network and mount namespaces of its own.
func Open() (*Engine, error) {
	program, err := exec.LookPath("dockerd")
	if err != nil || os.Geteuid() != 0 {
		return nil, ErrMissing
	}
	files, err := imagekit.Busybox()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMissing, err)
	}
	dir, err := os.MkdirTemp("", "engine") // short: it holds sockets
	if err != nil {
		return nil, err
	}
	e := &Engine{Socket: filepath.Join(dir, "docker.sock"), CgroupParent: "/agora-" + filepath.Base(dir), dir: dir, ended: make(chan error, 1)}
	if err := e.start(program, files); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) start(program string, files []imagekit.File) (err error) {
	said := &bytes.Buffer{}
	daemon := exec.Command(program, "--data-root", filepath.Join(e.dir, "data"), "--exec-root", filepath.Join(e.dir, "exec"), "--pidfile", filepath.Join(e.dir, "pid"),
		"--host", "unix://"+e.Socket, "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", e.CgroupParent, "--live-restore=false", "--userland-proxy=false")
	daemon.Stdout, daemon.Stderr = said, said
	daemon.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Setpgid: true}
	if err := daemon.Start(); err != nil {
		return fmt.Errorf("start dockerd: %w", err)
	}
	e.daemon = daemon
	go func() { e.ended <- daemon.Wait(); close(e.ended) }() // it is asked for again at the end
	if e.Client, err = client.New(client.WithHost("unix://" + e.Socket)); err != nil {
		return err
	}
	if err := e.await(said); err != nil {
		return err
	}
	return e.load(files)
}

func (e *Engine) await(said *bytes.Buffer) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := e.Client.Ping(context.Background(), client.PingOptions{NegotiateAPIVersion: true}); err == nil {
			return nil
		}
		select {
		case err := <-e.ended:
			return fmt.Errorf("dockerd ended: %v\n%s", err, said)
		case <-tick.C:
		}
	}
	return errors.New("dockerd does not answer")
}

func (e *Engine) load(files []imagekit.File) error {
	layer, err := imagekit.Tar(files...)
	if err != nil {
		return err
	}
	image, err := imagekit.Image(v1.Config{Env: []string{"PATH=/bin"}, Cmd: []string{"sleep", "1000"}}, layer)
	if err != nil {
		return err
	}
	archive := filepath.Join(e.dir, "image.tar")
	if err := imagekit.DockerArchive(archive, Image, image); err != nil {
		return err
	}
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	answer, err := e.Client.ImageLoad(context.Background(), f)
	if err != nil {
		return fmt.Errorf("load image: %w", err)
	}
	var text bytes.Buffer
	_, _ = text.ReadFrom(answer)
	answer.Close()
	if _, err := e.Client.ImageInspect(context.Background(), Image); err != nil {
		return fmt.Errorf("load image: %w\n%s", err, &text)
	}
	return nil
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

// Close ends the Engine and removes what it leaves.
func (e *Engine) Close() error {
	var err error
	if e.Client != nil {
		err = e.Client.Close()
	}
	if e.daemon != nil {
		err = errors.Join(err, e.stop())
	}
	return errors.Join(err, e.clean())
}

func (e *Engine) stop() error {
	_ = e.daemon.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.ended:
		return nil
	case <-time.After(patience):
		_ = syscall.Kill(-e.daemon.Process.Pid, syscall.SIGKILL)
		<-e.ended
		return errors.New("dockerd does not end")
	}
}

// clean removes what an Engine leaves: cgroups, and files that may still be mounts.
func (e *Engine) clean() (err error) {
	groups, _ := filepath.Glob("/sys/fs/cgroup/*" + e.CgroupParent) // dockerd uses hierarchies without controllers too
	for _, group := range append(groups, "/sys/fs/cgroup"+e.CgroupParent) {
		if failed := removeGroup(group); failed != nil {
			err = errors.Join(err, fmt.Errorf("cgroup of dockerd: %w", failed))
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range bytes.Split(mounts, []byte("\n")) {
		if fields := bytes.Fields(line); len(fields) > 4 && bytes.HasPrefix(fields[4], []byte(e.dir+"/")) {
			_ = unix.Unmount(string(fields[4]), unix.MNT_DETACH)
		}
	}
	if failed := os.RemoveAll(e.dir); failed != nil {
		err = errors.Join(err, fmt.Errorf("files of dockerd: %w", failed))
	}
	return err
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
