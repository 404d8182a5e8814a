package linux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerlogger"
	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/cni"
	"agora.dev/agora/agent/isolators/disk/xfs"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/isolators/ports"
	"agora.dev/agora/agent/isolators/secrets"
	"agora.dev/agora/agent/isolators/volumegids"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/template"
	"agora.dev/agora/agent/launchtrace"
	"agora.dev/agora/agent/rootfs"
	"agora.dev/agora/agent/sandboxes"
	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Config is what the containerizer is made of.
type Config struct {
	Launcher launcher.Launcher
	// Images and Fetcher may be nil: containers with an image, or with URIs, are
	// then refused.
	Images  Provisioner
	Fetcher Fetcher
	// Secrets may be nil: containers with secrets are then refused.
	Secrets Resolver
	// HostPaths are the rules for volumes of the host.
	HostPaths HostPaths
	// Networks may be nil: containers that ask for networks are then refused.
	Networks *cni.Isolator
	// Backend is how the files of images are provided; Layers is a directory on the file
	// system of the images, empty for that of Dir.
	Backend rootfs.Backend
	Layers  string
	// Dir holds what containers need beside their sandboxes: upper layers, records.
	Dir string
	// Cgroups is the path below which containers have their groups; empty means
	// "/agora".
	Cgroups string
	// Isolation are the options of the isolators.
	Isolation Isolation
	// SandboxDirectory is where containers with an image see their sandbox; empty means SandboxInImage.
	SandboxDirectory string
	// Output bounds what containers that ask for nothing else write to stdout and stderr.
	Output containerlogger.Bounds
	// AllowNewPrivileges lets set-user-id programs work in containers.
	AllowNewPrivileges bool
	Log                *slog.Logger
}

// Containerizer implements containerizer.Containerizer.
type Containerizer struct {
	config    Config
	log       *slog.Logger
	hierarchy cgroups.Hierarchy
	secrets   *secrets.Store
	watcher   *cgroups.Watcher // nil without memory controller
	gpus      *gpus            // nil without their isolator
	backend   rootfs.Backend
	projects  *xfs.Isolator      // nil without disk/xfs
	groups    *volumegids.Groups // nil without --volume_gid_range
	closing   chan struct{}
	// failedDestroys counts containers that could not be destroyed, failedRemovals those whose
	// files, the copy of their image included, could not be removed.
	failedDestroys, failedRemovals atomic.Uint64
	work                           sync.WaitGroup // patrol, and the destruction of containers over a limit

	// pruning is held for writing by Prune, and for reading from the provision of an
	// image to the note that its layers are in use.
	pruning sync.RWMutex

	mu        sync.Mutex
	closed    bool
	recovered bool
	lives     *containerizer.Lives
	boxes     map[containerizer.ID]*box
	// adopted are those that Recover found and nobody waits for yet.
	adopted []*box
	rounds  rounds
}

// box is what is kept of a container.
type box struct {
	state
	id     containerizer.ID
	cancel context.CancelCauseFunc // ends its launch
	ready  chan struct{}           // closed when its launch has ended, well or not
	ended  chan struct{}
	result containerizer.Termination // set before ended is closed
	pid    int
	output sync.Mutex // held while its output is rotated
	groups []uint32   // of volumes that it shares, while it is launched
	seen   output     // of watchOutput

	// Guarded by the containerizer's mutex.
	closed     bool                       // it has ended, or never started
	limitation *containerizer.Termination // why we end it
	lower      *specs.LinuxResources      // limits that could not be lowered yet
	watch      *cgroups.Watch
	beyond     string                // ports that it listens on and was not given, when last looked at
	perf       *mesos.PerfStatistics // the last that was counted; nil before the first
	diskUsed   map[string]uint64     // bytes of each directory with a bound that has been measured
}

var errDestroyed = errors.New("container was destroyed during its launch")

// New makes a containerizer. Recover must be called before anything else.
func New(config Config) (*Containerizer, error) {
	if config.Cgroups == "" {
		config.Cgroups = "/agora"
	}
	config.SandboxDirectory = cmp.Or(config.SandboxDirectory, SandboxInImage)
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if err := os.MkdirAll(filepath.Join(config.Dir, "containers"), 0o711); err != nil {
		return nil, fmt.Errorf("containerizer: %w", err)
	}
	hierarchy, err := cgroups.Detect()
	if err != nil {
		return nil, err
	}
	files, err := secrets.NewStore(filepath.Join(config.Dir, "secrets"))
	if err != nil {
		return nil, err
	}
	if config.Isolation.On == nil {
		if config.Isolation.On, err = isolation.Parse("", hierarchy); err != nil {
			return nil, err
		}
	}
	if config.Isolation.Capabilities.Default == nil {
		config.Isolation.Capabilities.Default = template.Capabilities()
	}
	if p := &config.Isolation.Perf; p.Interval <= 0 {
		p.Interval, p.Duration = time.Minute, 10*time.Second
	}
	if p := &config.Isolation.Ports; p.Interval <= 0 {
		p.Interval = 30 * time.Second
	}
	if config.Isolation.Disk.WatchInterval <= 0 {
		config.Isolation.Disk.WatchInterval = 15 * time.Second
	}
	if config.Isolation.WatchInterval <= 0 {
		config.Isolation.WatchInterval = 15 * time.Second
	}
	c := &Containerizer{config: config, log: config.Log, hierarchy: hierarchy, secrets: files, closing: make(chan struct{}),
		lives: containerizer.NewLives(), boxes: map[containerizer.ID]*box{}}
	if err := c.chooseBackend(); err != nil {
		return nil, err
	}
	if c.gpus, err = openGPUs(config.Isolation); err != nil {
		return nil, err
	}
	if c.groups, err = openGroups(config.Isolation); err != nil {
		return nil, err
	}
	if c.projects, err = openProjects(config); err != nil {
		return nil, err
	}
	if hierarchy.Has("memory") {
		if c.watcher, err = cgroups.NewWatcher(); err != nil {
			return nil, errors.Join(err, c.closeProjects())
		}
	}
	c.work.Go(c.patrol)
	if c.samples() {
		c.work.Go(c.sample)
	}
	if c.isolatesPorts() {
		if _, err := ports.Listening(config.Isolation.Ports.Datagrams); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", isolation.Ports, err), c.Close())
		}
		c.work.Go(c.watchPorts)
	}
	if c.measures() {
		c.work.Go(c.measure)
	}
	c.work.Go(c.watchOutput)
	return c, nil
}

// Launch implements containerizer.Containerizer.
func (c *Containerizer) Launch(ctx context.Context, spec containerizer.Spec) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b, err := c.begin(spec, cancel)
	if err != nil {
		return 0, err
	}
	pid, err := c.launch(ctx, b, spec)
	if err == nil {
		err = c.advance(b.id, containerizer.Running)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		c.abandon(b)
		return 0, err
	}
	b.pid = pid
	close(b.ready)
	c.mu.Lock()
	c.rounds.add(b, outputSoonest)
	c.mu.Unlock()
	go func() {
		c.observe(b)
		c.await(b)
	}()
	return pid, nil
}

func (c *Containerizer) begin(spec containerizer.Spec, cancel context.CancelCauseFunc) (*box, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.lives.Begin(spec.ID, false); err != nil {
		return nil, err
	}
	b := newBox(spec.ID)
	b.cancel = cancel
	c.boxes[spec.ID] = b
	return b, nil
}

func newBox(id containerizer.ID) *box {
	return &box{id: id, ready: make(chan struct{}), ended: make(chan struct{})}
}

func (c *Containerizer) advance(id containerizer.ID, to containerizer.State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lives.Advance(id, to)
}

// abandon undoes a launch that failed.
func (c *Containerizer) abandon(b *box) {
	ctx, cancel := context.WithTimeout(context.Background(), containerizer.LaunchTimeout)
	defer cancel()
	err := c.config.Launcher.Destroy(ctx, string(b.id))
	if err == nil {
		err = c.config.Launcher.Remove(ctx, string(b.id))
	}
	gone := err == nil || errors.Is(err, launcher.ErrUnknownContainer)
	gone = c.removeDir(b.id) == nil && gone
	c.detach(b.id)
	c.releaseGPUs(b.id)
	c.mu.Lock()
	c.lives.End(b.id)
	c.lives.Forget(b.id)
	c.declassify(b)
	if gone { // else its ids are still somebody's
		c.releaseUsers(b)
	}
	delete(c.boxes, b.id)
	c.mu.Unlock()
	c.takeRoom(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	b.closed = true
	close(b.ready)
	close(b.ended)
}

func (c *Containerizer) launch(ctx context.Context, b *box, spec containerizer.Spec) (int, error) {
	spec, err := c.withSecrets(ctx, spec)
	if err != nil {
		return 0, fmt.Errorf("container %s: %w", spec.ID, err)
	}
	if spec.Class == containerizer.Debug {
		return c.launchDebug(ctx, b, spec)
	}
	trace := launchtrace.Of(ctx)
	var root *RootFS
	if image := imageOf(spec.Container); image != nil {
		if c.config.Images == nil {
			return 0, fmt.Errorf("container %s: this agent provides no images", spec.ID)
		}
		provided, err := c.provision(ctx, b, image)
		if err != nil {
			return 0, fmt.Errorf("provision image of container %s: %w", spec.ID, err)
		}
		root = &provided
		trace.Mark(launchtrace.Image)
	}
	if err := c.advance(spec.ID, containerizer.Preparing); err != nil {
		return 0, err
	}
	if err := os.MkdirAll(c.dir(spec.ID), 0o711); err != nil {
		return 0, fmt.Errorf("prepare container %s: %w", spec.ID, err)
	}
	if attached, err := c.attach(ctx, spec); err != nil {
		return 0, fmt.Errorf("prepare container %s: %w", spec.ID, err)
	} else if attached != nil {
		trace.Mark(launchtrace.Network)
	}
	defer c.dropSecrets(spec.ID)
	request, err := c.prepare(ctx, b, spec, root)
	if err != nil {
		return 0, fmt.Errorf("prepare container %s: %w", spec.ID, err)
	}
	if err := b.save(c.dir(spec.ID)); err != nil {
		return 0, fmt.Errorf("prepare container %s: %w", spec.ID, err)
	}
	trace.Mark(launchtrace.Prepare)
	if err := c.fetch(ctx, spec); err != nil {
		return 0, err
	}
	if err := c.advance(spec.ID, containerizer.Launching); err != nil {
		return 0, err
	}
	return c.config.Launcher.Start(ctx, request)
}

func (c *Containerizer) fetch(ctx context.Context, spec containerizer.Spec) error {
	if err := c.advance(spec.ID, containerizer.Fetching); err != nil {
		return err
	}
	uris := spec.Command.GetUris()
	if len(uris) == 0 {
		return nil
	}
	if c.config.Fetcher == nil {
		return fmt.Errorf("container %s: this agent fetches no URIs", spec.ID)
	}
	stderr, err := sandboxes.Append(spec.Sandbox, "stderr", os.O_WRONLY)
	if err != nil {
		return fmt.Errorf("fetch for container %s: %w", spec.ID, err)
	}
	defer stderr.Close()
	if err := c.config.Fetcher.Fetch(ctx, uris, spec.Sandbox, spec.User, stderr); err != nil {
		return fmt.Errorf("fetch for container %s: %w", spec.ID, err)
	}
	launchtrace.Of(ctx).Mark(launchtrace.Fetch)
	return nil
}

// Close ends what the containerizer does by itself, and removes the group that held the
// containers' groups, if none is left. It ends no container: they outlive the agent. It
// may be called again.
func (c *Containerizer) Close() error {
	c.mu.Lock()
	again := c.closed
	if c.closed = true; !again {
		close(c.closing)
	}
	c.mu.Unlock()
	if again {
		return nil
	}
	if c.watcher != nil {
		c.watcher.Close()
	}
	c.work.Wait()
	_, err := c.hierarchy.At(c.config.Cgroups).Remove()
	return errors.Join(err, c.closeProjects())
}

// await keeps the result of a running container, and ends what was nested in it.
func (c *Containerizer) await(b *box) {
	exit, err := c.config.Launcher.Wait(context.Background(), string(b.id))
	c.look(b, &output{})
	c.mu.Lock()
	if b.closed = true; b.watch != nil {
		b.watch.Close()
	}
	if err != nil {
		b.result = containerizer.Termination{Message: err.Error()}
	} else {
		b.result = b.termination(exit)
	}
	orphans := c.lives.End(b.id)
	c.mu.Unlock()
	for _, id := range orphans {
		if err := c.Destroy(context.Background(), id); err != nil {
			c.log.Error("nested container not destroyed", "container", id, "error", err)
		}
	}
	if err := c.dropMemory(b.id); err != nil {
		c.log.Error("shared memory of a container stays", "container", b.id, "error", err)
	}
	// Before anybody hears of the end: the ports it had mapped may be given to the next.
	c.detach(b.id)
	c.releaseGPUs(b.id)
	close(b.ended)
}

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

func imageOf(info *mesos.ContainerInfo) *mesos.Image {
	if image := info.GetMesos().GetImage(); image != nil {
		return image
	}
	if docker := info.GetDocker(); docker.GetImage() != "" {
		kind, cached := mesos.Image_DOCKER, !docker.GetForcePullImage()
		return &mesos.Image{Type: &kind, Cached: &cached, Docker: &mesos.Image_Docker{Name: docker.Image}}
	}
	return nil
}
