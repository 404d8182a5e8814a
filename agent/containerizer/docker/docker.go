// Package docker has a Docker Engine run containers: the agent's second containerizer, for sites
// whose images, networks or volumes belong to an Engine.
//
// It owns the containers that carry its labels, and no others. It promises that they outlive the
// agent and the Engine's own restart (where that is set to live-restore), that their output is in the
// sandbox, and that an orphan is removed. It speaks to the Engine's API, never to its command line, and
// refuses what would give a task the host unless the agent allows it. See docs/design/docker.md.
package docker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/moby/moby/client"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerlogger"
	"agora.dev/agora/agent/images/logins"
	"agora.dev/agora/agent/isolators/gpu"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/metrics"
)

// Fetcher brings the URIs of a command into the sandbox, owned by user; what it has to say goes
// to stderr, which is the sandbox's.
type Fetcher interface {
	Fetch(ctx context.Context, uris []*mesos.CommandInfo_URI, sandbox, user string, stderr io.Writer) error
}

// Config is what the containerizer is made of.
type Config struct {
	// Socket is the path of the Engine's socket; empty means DefaultSocket.
	Socket string
	// Agent tells the containers of this agent from those of others that use the same Engine.
	Agent string
	// Dir holds what is known of the output of containers. It need not survive a reboot.
	Dir string
	// Fetcher may be nil: containers with URIs are then refused.
	Fetcher Fetcher
	// Rules say what tasks may ask for.
	Rules Rules
	// Logins are for registries.
	Logins logins.Logins
	// RemoveDelay is how long the Engine keeps a container that has ended.
	RemoveDelay time.Duration
	// Output bounds what containers that ask for nothing else write to stdout and stderr.
	Output containerlogger.Bounds
	// GPUs are shared with the other containerizers of the agent.
	GPUs gpu.Supply
	// KeepOrphans leaves containers of this agent alone that nobody knows.
	KeepOrphans bool
	Log         *slog.Logger
}

// DefaultSocket is where an Engine listens. Mesos flag --docker_socket.
const DefaultSocket = "/var/run/docker.sock"

// Labels of a container of ours.
const (
	labelAgent     = "agora.agent"
	labelContainer = "agora.container"
)

// namePrefix begins the name of each container in the Engine. Mesos docker.hpp.
const namePrefix = "mesos-"

// Containerizer implements containerizer.Containerizer.
type Containerizer struct {
	config Config
	engine *client.Client
	log    *slog.Logger
	ctx    context.Context // ends with Close
	close  context.CancelFunc
	work   sync.WaitGroup
	pulls  metrics.Timer // of the Engine's pulls

	mu    sync.Mutex
	lives *containerizer.Lives
	boxes map[containerizer.ID]*box
}

var _ containerizer.Containerizer = (*Containerizer)(nil)

// box is what is kept of a container.
type box struct {
	id     containerizer.ID
	cancel context.CancelCauseFunc // ends its launch
	ready  chan struct{}           // closed when its launch has ended, well or not
	ended  chan struct{}
	result containerizer.Termination // set before ended is closed
	over   chan struct{}             // closed when it has ended, and its output may still be on its way
	copied chan struct{}             // closed when its output is in the sandbox
	heard  atomic.Int64              // entries of its output that were read

	// Guarded by the containerizer's mutex.
	pid  int
	exec string             // the Engine's id of a command in another container
	sent syscall.Signal     // the last signal from us
	stop context.CancelFunc // ends the copying of its output; nil before it begins
}

// nested says that this is a command in another container: the Engine's container is that one's.
func (b *box) nested() bool {
	_, nested := b.id.Parent()
	return nested
}

// New reaches the Engine. Recover must be called before anything else.
func New(ctx context.Context, config Config) (*Containerizer, error) {
	if config.Socket == "" {
		config.Socket = DefaultSocket
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	engine, err := client.New(client.WithHost("unix://" + config.Socket))
	if err != nil {
		return nil, fmt.Errorf("docker engine at %s: %w", config.Socket, err)
	}
	if _, err := engine.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		engine.Close()
		return nil, fmt.Errorf("docker engine at %s does not answer: start it, name another --docker_socket, or take docker out of --containerizers: %w", config.Socket, err)
	}
	if err := os.MkdirAll(filepath.Join(config.Dir, "containers"), 0o700); err != nil {
		return nil, fmt.Errorf("docker containerizer: %w", err)
	}
	c := &Containerizer{config: config, engine: engine, log: config.Log, lives: containerizer.NewLives(), boxes: map[containerizer.ID]*box{}}
	c.ctx, c.close = context.WithCancel(context.WithoutCancel(ctx))
	return c, nil
}

// Close ends what the containerizer does by itself. Containers run on.
func (c *Containerizer) Close() error {
	c.close()
	c.work.Wait()
	return c.engine.Close()
}

// Accepts says whether a container is for the Engine: its ContainerInfo has type DOCKER.
func Accepts(spec containerizer.Spec) bool {
	return spec.Container.GetType() == mesos.ContainerInfo_DOCKER && spec.Container.GetDocker() != nil
}

// name is what the Engine calls a container.
func name(id containerizer.ID) string { return namePrefix + string(id) }

func (c *Containerizer) dir(id containerizer.ID) string {
	return filepath.Join(c.config.Dir, "containers", string(id))
}

func (c *Containerizer) find(id containerizer.ID) (*box, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.boxes[id]
	if !ok {
		return nil, fmt.Errorf("container %s: %w", id, containerizer.ErrUnknown)
	}
	return b, nil
}

func (c *Containerizer) begin(id containerizer.ID, adopted bool, cancel context.CancelCauseFunc) (*box, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.lives.Begin(id, adopted); err != nil {
		return nil, err
	}
	b := &box{id: id, cancel: cancel, ready: make(chan struct{}), ended: make(chan struct{}), over: make(chan struct{}), copied: make(chan struct{})}
	c.boxes[id] = b
	return b, nil
}

func (c *Containerizer) advance(id containerizer.ID, to ...containerizer.State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, state := range to {
		if err := c.lives.Advance(id, state); err != nil {
			return err
		}
	}
	return nil
}

// running ends a launch: from now on the container has a process, unless it was destroyed meanwhile.
func (c *Containerizer) running(b *box, pid int, exec string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.lives.Advance(b.id, containerizer.Running); err != nil {
		return err
	}
	b.pid, b.exec = pid, exec
	return nil
}

// end keeps the result of a container and ends what runs in it.
func (c *Containerizer) end(b *box, result containerizer.Termination) {
	c.mu.Lock()
	b.result = result
	orphans := c.lives.End(b.id)
	c.mu.Unlock()
	c.releaseGPUs(b.id)
	for _, id := range orphans {
		if err := c.Destroy(c.ctx, id); err != nil && c.ctx.Err() == nil {
			c.log.Error("command in an ended container not destroyed", "container", id, "error", err)
		}
	}
	close(b.ended)
}

// forget takes a container off the books.
func (c *Containerizer) forget(b *box) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.stop != nil {
		b.stop()
	}
	c.lives.End(b.id)
	c.lives.Forget(b.id)
	delete(c.boxes, b.id)
	c.releaseGPUs(b.id)
}
