// Package launcher holds the contract of the launcher: the parent of all containers of
// an agent, which outlives it.
//
// It promises that a container that was started has an exit record until it is
// removed, whichever of agent and launcher dies meanwhile, and that destroying one
// leaves no process and no cgroup. It refuses to know what a task or an image is:
// containers are described by the OCI runtime specification. Two implementations,
// native and oci, pass the suite in launchertest.
package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// ErrUnknownContainer is returned for an id the launcher does not have.
var ErrUnknownContainer = errors.New("unknown container")

// Request describes a container to start.
type Request struct {
	ID   string
	Spec *specs.Spec
	// Overlay, when set, is mounted on Spec.Root.Path inside the container's mount
	// namespace. Without it Root.Path must hold a root file system; "/" means the
	// host's, without a change of root.
	Overlay *Overlay
	// Stdout and Stderr are files opened for append; empty means /dev/null.
	Stdout, Stderr string
	// Pause starts no command: the container holds namespaces for others.
	Pause bool
}

// Overlay is a root file system of layers, the lowest first. Upper and Work are new: those of
// one container are never mounted again.
type Overlay struct {
	Lower       []string
	Upper, Work string
}

// Data are the options that the overlay is mounted with. The kernel takes a page of them, and
// no path in which it would see a separator. An upper layer does not outlive its container, so
// nothing of it is synced: without the option volatile the end of a container, and each fsync in it,
// waits until everything that anybody has written to that disk is there.
func (o Overlay) Data() (string, error) {
	for _, dir := range append([]string{o.Upper, o.Work}, o.Lower...) {
		if strings.ContainsAny(dir, ",:\\") {
			return "", fmt.Errorf("layer %q: commas, colons and backslashes are not possible in its path", dir)
		}
	}
	lower := slices.Clone(o.Lower)
	slices.Reverse(lower)
	data := "lowerdir=" + strings.Join(lower, ":")
	if o.Upper != "" {
		data += ",upperdir=" + o.Upper + ",workdir=" + o.Work + ",volatile"
	}
	if len(data) >= 4096 {
		return "", fmt.Errorf("%d layers: their paths need %d bytes, and a mount takes 4095", len(o.Lower), len(data))
	}
	return data, nil
}

// Enter describes a process started inside a live container.
type Enter struct {
	ID      string // of the new process
	Parent  string // the container to enter
	Process *specs.Process
	// Seccomp filters the new process, as Spec.Linux.Seccomp does a container's.
	Seccomp *specs.LinuxSeccomp
	// Files are stdin, stdout and stderr; they belong to the caller. With
	// Process.Terminal all three are the same terminal, which becomes the
	// controlling one.
	Files [3]*os.File
}

// Container is what the launcher knows of one.
type Container struct {
	ID     string
	Parent string // set for a process that entered another container
	PID    int    // of the init
	Exit   *Exit  // set once it has ended
}

// Exit is an exit record.
type Exit struct {
	// Status is the raw wait status of the command. Known is false when it was lost
	// with a launcher and no init was left to write it.
	Status int32
	Known  bool
	// OOM says that the kernel killed a process of it for its memory limit; Limit
	// and Peak are in bytes.
	OOM         bool
	Limit, Peak uint64
}

// Launcher starts and ends containers. Its methods may be called from any goroutine.
type Launcher interface {
	// Start returns the pid of the container's init when its command has been
	// executed. After an error nothing is left.
	Start(ctx context.Context, request Request) (pid int, err error)
	Enter(ctx context.Context, enter Enter) (pid int, err error)
	// Wait blocks until the container has ended.
	Wait(ctx context.Context, id string) (Exit, error)
	Signal(ctx context.Context, id string, signal syscall.Signal) error
	// Destroy kills every process of the container and returns when they are gone.
	Destroy(ctx context.Context, id string) error
	// Remove forgets an ended container and its record.
	Remove(ctx context.Context, id string) error
	List(ctx context.Context) ([]Container, error)
}
