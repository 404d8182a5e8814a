// Package containerizer holds the contract between the agent and whatever runs
// its containers, and the pure life cycle of a container.
//
// It promises that a container is in exactly one state, that every container that
// was asked for ends with one Termination, and that a parent ends after its
// children. It refuses to know how a container is made: that is the business of the
// implementation, which passes the suite in containerizertest.
package containerizer

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

// ID names a container: the values of the chain of ContainerIDs from the root
// container down, joined with dots. A value holds no dot.
type ID string

// IDOf flattens a ContainerID.
func IDOf(id *mesos.ContainerID) ID {
	if id.GetParent() == nil {
		return ID(id.GetValue())
	}
	return IDOf(id.GetParent()) + "." + ID(id.GetValue())
}

// Proto is the inverse of IDOf.
func (id ID) Proto() *mesos.ContainerID {
	parent, value, nested := id.cut()
	out := &mesos.ContainerID{Value: &value}
	if nested {
		out.Parent = parent.Proto()
	}
	return out
}

// Parent returns the enclosing container; nested is false for a root container.
func (id ID) Parent() (parent ID, nested bool) {
	parent, _, nested = id.cut()
	return parent, nested
}

// Root returns the outermost container.
func (id ID) Root() ID {
	root, _, _ := strings.Cut(string(id), ".")
	return ID(root)
}

func (id ID) cut() (parent ID, value string, nested bool) {
	at := strings.LastIndexByte(string(id), '.')
	if at < 0 {
		return "", string(id), false
	}
	return id[:at], string(id[at+1:]), true
}

// Class says what a container is for.
type Class int

const (
	// Default is a task, an executor or the root of a pod.
	Default Class = iota
	// Debug joins its parent's namespaces and cgroups; it has no image, no
	// volumes, and does not survive the agent.
	Debug
)

// Spec describes a container in the words of the Mesos API.
type Spec struct {
	ID    ID
	Class Class
	// Command is what runs. Nil for the root of a pod: the container then only
	// holds namespaces, cgroups and the sandbox for its children.
	Command   *mesos.CommandInfo
	Container *mesos.ContainerInfo // nil: the host's root file system
	// Resources sets requests; Limits the ceilings by resource name ("cpus",
	// "mem" in MiB; +Inf for none), as TaskInfo.limits.
	Resources []*mesos.Resource
	Limits    map[string]float64
	// Persistent are the volumes of Resources that outlive the container; Inherited those of
	// its parent, which a sandbox path of the parent can name.
	Persistent, Inherited []PersistentVolume
	// ShareCgroups puts a nested container into its parent's cgroups.
	ShareCgroups bool
	// Env is what the agent adds; the command's own environment wins over it.
	Env map[string]string
	// Sandbox is the host directory of the container; it exists and belongs to User.
	Sandbox string
	// User is the account of the process on the host; empty means the agent's.
	User     string
	Hostname string
	// UserNamespace is what the container asks for: "private", "host" for the machine's, or
	// empty for what the agent does by itself.
	UserNamespace string
}

// Variable is one of the command's environment, or of what the agent adds; empty for none.
func (s Spec) Variable(name string) string {
	for _, v := range s.Command.GetEnvironment().GetVariables() {
		if v.GetName() == name {
			return v.GetValue()
		}
	}
	return s.Env[name]
}

// PersistentVolume is a directory of the host that a container sees at ContainerPath, relative
// to its sandbox or absolute in its image.
type PersistentVolume struct {
	ID            string
	Source        string // the directory; it exists when the container is launched
	ContainerPath string
	ReadOnly      bool
	Shared        bool // other containers may use it, too
	// Mount says that Source is the root of a disk of its own.
	Mount bool
}

// Termination is how a container ended.
type Termination struct {
	// Status is the raw wait status; nil when the container never ran or its
	// status is lost.
	Status *int32
	// Reason and State are set when the containerizer itself ended it, e.g.
	// TASK_FAILED with REASON_CONTAINER_LIMITATION_MEMORY.
	State   mesos.TaskState
	Reason  mesos.TaskStatus_Reason
	Message string
	Limited []*mesos.Resource
}

// Limitation reports whether the containerizer ended the container itself.
func (t Termination) Limitation() bool { return t.State != 0 || t.Reason != 0 }

// Recovered is a container found by Recover.
type Recovered struct {
	ID  ID
	PID int // of the container's init; 0 when it has ended
	// Networks are those that the container does not share with the host.
	Networks []*mesos.NetworkInfo
	// Cgroups is what its status says of its control groups; nil for nothing.
	Cgroups *mesos.CgroupInfo
	// Ended is set when the container ended while no agent was looking.
	Ended *Termination
}

// Exec is a process run inside a live container.
type Exec struct {
	ID        ID // the new debug container; its parent is the container to enter
	Command   *mesos.CommandInfo
	TTY       bool
	Rows      uint16
	Cols      uint16
	Env       map[string]string
	User      string
	Sandbox   string
	KeepStdin bool
}

// Session is the open end of an Exec or of an attached container. Close destroys
// the process of an Exec.
type Session interface {
	Stdin() io.WriteCloser // nil without KeepStdin and TTY
	Stdout() io.Reader
	Stderr() io.Reader // nil with a TTY
	Resize(rows, cols uint16) error
	// Wait returns when the process has ended and its output is drained.
	Wait(ctx context.Context) (Termination, error)
	Close() error
}

// Containerizer runs containers. Its methods may be called from any goroutine;
// calls for one container are ordered by their caller.
type Containerizer interface {
	// Recover adopts what an earlier agent left. Containers that are not in
	// known, and every Debug container, are destroyed.
	Recover(ctx context.Context, known []ID) ([]Recovered, error)
	// Launch returns when the command has been executed. Cancelling ctx, or an
	// error, leaves nothing behind. The error's text is fit for a user.
	Launch(ctx context.Context, spec Spec) (pid int, err error)
	// Wait blocks until the container has ended. It may be called late and more
	// than once, until Remove. Of an end and the end of ctx it tells the former.
	Wait(ctx context.Context, id ID) (Termination, error)
	// Signal sends to the container's command (its whole process tree when the
	// container has no pid namespace of its own).
	Signal(ctx context.Context, id ID, signal syscall.Signal) error
	// Destroy kills the container and its children; Wait then returns.
	Destroy(ctx context.Context, id ID) error
	// Remove forgets an ended container and its exit record.
	Remove(ctx context.Context, id ID) error
	// Update changes the requests and limits of a live container.
	Update(ctx context.Context, id ID, resources []*mesos.Resource, limits map[string]float64) error
	Status(ctx context.Context, id ID) (*mesos.ContainerStatus, error)
	Usage(ctx context.Context, id ID) (*mesos.ResourceStatistics, error)
	Exec(ctx context.Context, exec Exec) (Session, error)
}

// ErrRunning refuses the removal of a container that has not ended.
var ErrRunning = errors.New("it has not ended")

// ErrUnknown is returned for a container that is not there.
var ErrUnknown = errors.New("unknown container")

// LaunchTimeout bounds one Launch without the pull of its image.
const LaunchTimeout = time.Minute
