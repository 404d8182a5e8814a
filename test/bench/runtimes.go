package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/moby/moby/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/isolators/seccomp"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/remote"
	"agora.dev/agora/agent/launcher/template"
	"agora.dev/agora/internal/testkit/imagekit"
)

var serverVersion = client.ServerVersionOptions{}

// bench is what contenders share: a root file system, and a control group above their own, which are small ones and
// would starve beside the processes of the machine.
type bench struct{ dir, root, group string }

func newBench(dir string) (*bench, error) {
	files, err := imagekit.Busybox()
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, root: filepath.Join(dir, "rootfs"), group: "/agora-" + filepath.Base(dir)}
	for _, f := range files {
		at := filepath.Join(b.root, f.Name)
		switch {
		case strings.HasSuffix(f.Name, "/"):
			err = os.MkdirAll(at, 0o755)
		case f.Link != "":
			err = os.Symlink(f.Link, at)
		default:
			err = os.WriteFile(at, []byte(f.Content), 0o755)
		}
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// close removes the group from every hierarchy: runtimes use those without controllers as well.
func (b *bench) close() (err error) {
	groups, _ := filepath.Glob("/sys/fs/cgroup/*" + b.group)
	for _, group := range append(groups, "/sys/fs/cgroup"+b.group) {
		if failed := os.Remove(group); failed != nil && !errors.Is(failed, os.ErrNotExist) {
			err = errors.Join(err, failed)
		}
	}
	return err
}

// What a task of 0.1 CPU and 32 MiB has.
const (
	memoryLimit = 32 << 20
	cpuShares   = 102
)

// spec is the container that runtimes and our launcher start: namespaces, mounts, masks, capabilities, filter, devices
// and limits as a task has them. No quota of CPU time: it would hold up what a runtime does in the container.
func (b *bench) spec(id, root string) (*specs.Spec, error) {
	spec := template.Spec(root, trivial...)
	spec.Version = "1.0.2" // crun of Debian knows no newer one
	limit, shares := int64(memoryLimit), uint64(cpuShares)
	spec.Linux.Resources.Memory, spec.Linux.Resources.CPU = &specs.LinuxMemory{Limit: &limit}, &specs.LinuxCPU{Shares: &shares}
	spec.Linux.CgroupsPath = b.group + "/" + id
	var err error
	spec.Linux.Seccomp, err = seccomp.Default(template.Capabilities())
	return spec, err
}

// runtime is an installed OCI runtime.
func (b *bench) runtime(name string) (*contender, error) {
	program, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("not installed (Debian: %s)", name)
	}
	version, err := exec.Command(program, "--version").Output()
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(string(version), "\n")
	bundle := filepath.Join(b.dir, name)
	if err := os.MkdirAll(bundle, 0o755); err != nil {
		return nil, err
	}
	return &contender{name: name, peerOf: oursAlone, what: first + ", `run` without an overlay; first output, and its end",
		start: func(id string) (time.Duration, time.Duration, error) {
			spec, err := b.spec(id, b.root)
			if err != nil {
				return 0, 0, err
			}
			text, err := json.Marshal(spec)
			if err != nil {
				return 0, 0, err
			}
			if err := os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o600); err != nil {
				return 0, 0, err
			}
			return timed(exec.Command(program, "--root", filepath.Join(b.dir, name+"-state"), "run", "--bundle", bundle, id), startHidden)
		}}, nil
}

// startHidden starts a command where a cgroup2 hierarchy beside those of version 1 is not seen: crun takes it for the
// one to use.
func startHidden(cmd *exec.Cmd) error {
	const beside = "/sys/fs/cgroup/unified"
	if _, err := os.Stat(beside); err != nil {
		return cmd.Start()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine, and with it the namespace
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
				return err
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
				return err
			}
			if err := unix.Unmount(beside, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
				return err
			}
			return cmd.Start()
		}()
	}()
	return <-done
}

// launcher is ours alone: a process that gets a specification over its socket.
func (b *bench) launcher() (*contender, func() error, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	ctx, dir := context.Background(), filepath.Join(b.dir, "launcher")
	keeper, err := remote.Keep(ctx, dir, append([]string{self, "launcher"}, remote.Arguments(dir, time.Minute)...)...)
	if err != nil {
		return nil, nil, err
	}
	end := func() error { return errors.Join(keeper.Stop(ctx), keeper.Close()) }
	fifo := filepath.Join(b.dir, "stdout")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		return nil, nil, errors.Join(err, end())
	}
	out, err := os.OpenFile(fifo, os.O_RDWR, 0) // a writer of our own: no end of file between two containers
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	c := &contender{name: oursAlone, what: "our launcher over its socket, with an overlay; first output, and when nothing is left",
		start: func(id string) (time.Duration, time.Duration, error) { return b.native(keeper, out, id) }}
	return c, func() error { return errors.Join(out.Close(), end()) }, nil
}

// native starts a container and waits until it is gone. out is where its output comes from.
func (b *bench) native(l launcher.Launcher, out *os.File, id string) (running, ended time.Duration, err error) {
	request := launcher.Request{ID: id, Stdout: out.Name(), Overlay: &launcher.Overlay{Lower: []string{b.root}}}
	root := filepath.Join(b.dir, "containers", id)
	request.Overlay.Upper, request.Overlay.Work = filepath.Join(root, "upper"), filepath.Join(root, "work")
	if request.Spec, err = b.spec(id, filepath.Join(root, "root")); err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	begin := time.Now()
	for _, dir := range []string{request.Spec.Root.Path, request.Overlay.Upper, request.Overlay.Work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return 0, 0, err
		}
	}
	if _, err := l.Start(ctx, request); err != nil {
		return 0, 0, err
	}
	if err := out.SetReadDeadline(begin.Add(patience)); err != nil {
		return 0, 0, err
	}
	if _, err := io.ReadFull(out, make([]byte, len(trivial[1])+1)); err != nil {
		return 0, 0, err
	}
	running = time.Since(begin)
	if exit, err := l.Wait(ctx, id); err != nil || exit.Status != 0 {
		return 0, 0, fmt.Errorf("container %s: %+v, %w", id, exit, err)
	}
	if err := l.Remove(ctx, id); err != nil {
		return 0, 0, err
	}
	if err := os.RemoveAll(root); err != nil {
		return 0, 0, err
	}
	return running, time.Since(begin), nil
}
