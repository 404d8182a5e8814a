// Package agent runs containers on one machine for a master: it is the wiring of the
// core with the disk, the link, the executors' API and the containerizer.
//
// It promises that when its process dies, its containers run on and the next agent on
// the same work directory has them, with their exit statuses. It refuses to share a work
// directory with another agent.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/blackbox"
	"agora.dev/agora/agent/checkpoint"
	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/agent/httpapi"
	"agora.dev/agora/agent/launchtrace"
	"agora.dev/agora/api/agora/pulls"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/auth/access"
	"agora.dev/agora/internal/loop"
	"agora.dev/agora/internal/metrics"
	"agora.dev/agora/internal/verbosity"
	"agora.dev/agora/internal/vfs"
)

// Deps are what an agent is given.
type Deps struct {
	Containerizer containerizer.Containerizer
	// Images may be nil: PRUNE_IMAGES is then refused.
	Images Images
	// Figures may be nil; it adds metrics of containers.
	Figures func(emit func(name string, value float64))
	// Timers are more of them, by name.
	Timers map[string]*metrics.Timer
	// Waits is the part of the last ten seconds in which a container waited for a CPU, in percent;
	// negative where nobody knows, and everywhere when it is nil.
	Waits func(id containerizer.ID) float64
	// Pulls may be nil; it gives the images that are being pulled.
	Pulls func() []pulls.Pull
	// Peak is the most memory that a container has had, in bytes; nil, or 0: nobody knows.
	Peak func(id containerizer.ID) uint64
	// Dialer reaches the leading master; nil: --master.
	Dialer Dialer
	// Listener serves the API; nil: --ip and --port.
	Listener net.Listener
	Log      *slog.Logger // nil: none
}

// Images is the store that containers' images are in.
type Images interface {
	// Prune removes the images that no container uses, but those excluded by reference.
	Prune(ctx context.Context, excluded []string) error
}

// Agent is one agent. Make one with New.
type Agent struct {
	config    Config
	deps      Deps
	paths     checkpoint.Paths
	lock      *os.File
	listener  net.Listener
	core      *core.Core
	total     []*mesos.Resource // as configured
	store     *checkpoint.Store
	box       *blackbox.Box
	ballast   *checkpoint.Ballast
	broker    *httpapi.Broker
	tokens    *httpapi.Tokens
	access    *access.Open
	loop      *loop.Loop[posted]
	agentID   atomic.Pointer[string]
	started   time.Time
	exit      chan error
	exitOnce  sync.Once
	recovered *core.State
	level     *verbosity.Level
	// capabilities are those that the master is told.
	capabilities []string

	standalone []containerizer.ID // found by Run
	launches   *launches
	remover    *remover // of volumes
	forgotten  *remover // of records
	garbage    *collector
	// recovery is how long the recovery of containers took.
	recovery atomic.Int64
}

// Sizes of the loop: how many events may wait, how many are handled at once.
const (
	queueSize = 8192
	batchSize = 256
)

// New makes an agent: it claims the work directory, listens and reads the checkpoint.
// Close it if Run is never called.
func New(config Config, deps Deps) (*Agent, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	level := verbosity.New()
	deps.Log = slog.New(level.Handler(deps.Log.Handler()))
	a := &Agent{
		level: level, launches: newLaunches(deps.Log),
		config: config, deps: deps, paths: checkpoint.Paths{Work: config.WorkDir}, broker: httpapi.NewBroker(),
		loop: loop.New[posted](queueSize, batchSize), started: time.Now(), exit: make(chan error, 1),
	}
	if err := a.prepare(); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (a *Agent) prepare() (err error) {
	if a.deps.Containerizer == nil {
		return errors.New("agent: no containerizer")
	}
	if a.deps.Dialer == nil {
		dialer, err := a.config.dialer()
		if err != nil {
			return err
		}
		if a.deps.Dialer, err = dialMasters(a.config.Master, dialer); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(a.config.WorkDir, 0o755); err != nil {
		return fmt.Errorf("make --work_dir: %w", err)
	}
	if a.lock, err = lockFile(a.paths.Lock()); err != nil {
		return err
	}
	if err := a.listen(); err != nil {
		return err
	}
	if err := a.openAccess(); err != nil {
		return err
	}
	if a.box, err = blackbox.Open(a.paths.BlackBox()); err != nil {
		return err
	}
	boot, err := bootID()
	if err != nil {
		return fmt.Errorf("read the boot id: %w", err)
	}
	a.store = checkpoint.New(vfs.OS{}, a.paths)
	a.ballast = checkpoint.NewBallast(a.paths)
	state, warnings, err := a.store.Recover(checkpoint.Options{
		Strict: a.config.Strict, BootID: boot, Forget: a.config.Recover == "cleanup",
	})
	if err != nil {
		return err
	}
	for _, warning := range warnings {
		a.deps.Log.Warn("checkpoint", "problem", warning)
	}
	if err := a.unlistCollected(state); err != nil {
		return err
	}
	a.recovered = state
	cfg, err := a.coreConfig()
	if err != nil {
		return err
	}
	a.core, a.total = core.New(cfg), cfg.Info.GetResources()
	a.remover = newRemover(a.deps.Log, "data of a destroyed volume", volumeTrash(a.paths, cfg.Info.GetResources())...)
	a.forgotten = newRemover(a.deps.Log, "a record that counts no more", a.paths.Removed())
	a.store.MovedOut = a.forgotten.wake
	return nil
}

// lockFile keeps a second agent out of the work directory.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("work directory %s is in use by another agent", filepath.Dir(path))
	}
	return f, nil
}

func (a *Agent) listen() (err error) {
	if a.listener = a.deps.Listener; a.listener == nil {
		if a.listener, err = net.Listen("tcp", a.config.address()); err != nil {
			if errors.Is(err, unix.EADDRINUSE) {
				return fmt.Errorf("port %d of %s is in use: choose another with --port", a.config.Port, a.config.IP)
			}
			return fmt.Errorf("listen: %w", err)
		}
	}
	if tcp, ok := a.listener.Addr().(*net.TCPAddr); ok {
		a.config.Port = tcp.Port
	}
	return nil
}

// Address is where others reach the API, "ip:port".
func (a *Agent) Address() string {
	ip, port := a.config.advertised()
	return net.JoinHostPort(ip, strconv.Itoa(port))
}

// Close gives back what New took. Run does it by itself.
func (a *Agent) Close() {
	if a.listener != nil {
		a.listener.Close()
	}
	if a.lock != nil {
		a.lock.Close()
	}
	a.access.Close()
}

// Run is the agent until ctx ends, which leaves containers to the next agent, or until
// it has to stop.
func (a *Agent) Run(ctx context.Context) error {
	defer a.Close()
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	found, standalone, err := a.recoverContainers(ctx)
	if err != nil {
		return err
	}
	post := func(e core.Event) { a.loop.Post(runCtx, posted{event: e, at: launchtrace.Now()}) }
	overseer, err := a.newOverseer(post)
	if err != nil {
		return err
	}
	a.garbage = a.newCollector()
	a.forgetStandalone(standalone, a.garbage)
	works := a.newWorks(runCtx, post)
	uplink := &linker{dialer: a.deps.Dialer, post: post, ctx: runCtx}
	m := &machine{
		core: a.core, write: a.write, link: uplink, executors: a.broker, containers: works,
		sandboxes: a.garbage, launches: a.launches, log: a.deps.Log, exit: a.leave, relays: newRelays(runCtx, a),
	}
	if a.recovered.Agent != nil {
		id := a.recovered.Agent.GetId().GetValue()
		a.agentID.Store(&id)
	}
	var wg sync.WaitGroup
	wg.Go(func() { a.loop.Run(runCtx, m) })
	wg.Go(func() { overseer.run(runCtx) })
	wg.Go(func() { a.remover.run(runCtx) })
	wg.Go(func() { a.forgotten.run(runCtx) })
	later := a.afterRecovery(found, works)
	post(core.Recovered{State: a.recovered, Containers: found})
	a.recovered = nil // the core has it
	ready := make(chan struct{})
	a.loop.Post(runCtx, posted{inspect: func(*core.Core) { close(ready) }})
	wg.Go(func() { later(runCtx, ready) })
	api := a.api()
	a.collectEnded(runCtx, api)
	server, relayed := a.server(api), a.server(api)
	relayed.ConnContext = vouch
	wg.Go(func() { server.Serve(a.listener) })
	wg.Go(func() { relayed.Serve(m.relays) })
	a.deps.Log.Info("agent started", "address", a.Address(), "work_dir", a.config.WorkDir)
	select {
	case <-ctx.Done():
	case err = <-a.exit:
		uplink.drain()
	}
	a.broker.CloseAll()
	server.Close()
	relayed.Close()
	cancel()
	wg.Wait()
	m.relays.wg.Wait()
	uplink.wg.Wait()
	works.wg.Wait()
	return err
}

// recoverContainers finds the containers that an earlier agent left, those of the core apart from those that operators launched.
func (a *Agent) recoverContainers(ctx context.Context) (found []containerizer.Recovered, standalone []containerizer.ID, err error) {
	if standalone, err = a.findStandalone(); err != nil {
		return nil, nil, err
	}
	began := time.Now()
	found, err = a.deps.Containerizer.Recover(ctx, append(a.recovered.Known(), standalone...))
	if err != nil {
		return nil, nil, fmt.Errorf("recover containers: %w", err)
	}
	a.recovery.Store(int64(time.Since(began)))
	return a.keepStandalone(found, standalone), standalone, nil
}

func (a *Agent) newCollector() *collector {
	garbage := &collector{delay: a.config.GCDelay, log: a.deps.Log, atOnce: make(chan struct{}, 1), headroom: a.config.GCDiskHeadroom,
		every: a.config.DiskWatchInterval, usage: func() (float64, error) { return diskUsage(a.config.WorkDir) }}
	garbage.begin()
	return garbage
}

// newWorks carries out what the core wants of containers.
func (a *Agent) newWorks(ctx context.Context, post func(core.Event)) *containers {
	maker := &sandboxMaker{paths: a.paths, agent: func() string { return *a.agentID.Load() }, claim: a.garbage.claim}
	works := newContainers(ctx, a.deps.Containerizer, a.deps.Log)
	works.prepare, works.post = maker.prepare, post
	works.launched = func(e core.ContainerLaunched, trace *launchtrace.Trace) {
		a.loop.Post(ctx, posted{event: e, at: launchtrace.Now(), launch: trace})
	}
	works.records = &recorder{box: a.box, usage: a.deps.Containerizer.Usage, peak: a.deps.Peak, log: a.deps.Log,
		inspect: func(look func(*core.Core)) { a.loop.Post(ctx, posted{inspect: look}) }}
	return works
}

// afterRecovery gives what does not hold up the recovery: it runs when ready is closed, until ctx ends.
func (a *Agent) afterRecovery(found []containerizer.Recovered, works *containers) func(ctx context.Context, ready <-chan struct{}) {
	inUse, ended := a.sandboxes(), a.ended()
	a.garbage.findAgents(a.paths.Agents(), a.paths.Agent(a.recovered.Agent.GetId().GetValue()))
	return func(ctx context.Context, ready <-chan struct{}) {
		select {
		case <-ready:
		case <-ctx.Done():
			return
		}
		for _, c := range found {
			works.watch(c.ID) // the core hears of an ended root like of any other
		}
		a.garbage.find(ctx, a.config.WorkDir, inUse, ended)
		debug.FreeOSMemory() // what was read of the past is much more than what is kept
		a.garbage.run(ctx)
	}
}

// sandboxes are those of the runs that were recovered.
func (a *Agent) sandboxes() map[string]bool {
	out := map[string]bool{}
	for _, f := range a.recovered.Frameworks {
		for _, e := range f.Executors {
			out[a.paths.Sandbox(a.recovered.Agent.GetId().GetValue(), e.Run, e.Run.Container)] = true
		}
	}
	return out
}

// Shutdown kills all tasks, tells the master goodbye and ends Run.
func (a *Agent) Shutdown(ctx context.Context) error {
	return a.Post(ctx, core.ShutDown{Tasks: true})
}

func (a *Agent) leave(err error) {
	a.exitOnce.Do(func() { a.exit <- err })
}

func (a *Agent) write(w core.Write) error {
	if admitted, ok := w.(core.WriteAgent); ok && admitted.Info != nil {
		id := admitted.Info.GetId().GetValue()
		a.agentID.Store(&id)
	}
	err := a.ballast.Retry(func() error { return a.store.Apply(w) })
	if resources, ok := w.(core.WriteResources); ok && len(resources.Removing) > 0 {
		a.remover.wake()
	}
	return err
}

// Post hands an event to the core.
func (a *Agent) Post(ctx context.Context, event core.Event) error {
	return a.loop.Post(ctx, posted{event: event, at: launchtrace.Now()})
}

// Snapshot shows the present.
func (a *Agent) Snapshot(ctx context.Context) (*core.Snapshot, error) {
	out := make(chan *core.Snapshot, 1)
	if err := a.loop.Post(ctx, posted{inspect: func(c *core.Core) { out <- c.Snapshot() }}); err != nil {
		return nil, err
	}
	select {
	case s := <-out:
		return s, nil
	case <-a.loop.Done():
		return nil, loop.ErrStopped
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (a *Agent) api() *httpapi.Server {
	return httpapi.New(httpapi.Config{
		Backend: a, Broker: a.broker, Containers: a.deps.Containerizer, Tokens: a.tokens, Version: a.config.Version,
		Endpoint: a.Address(), Flags: a.config.shown(), LogFile: a.config.Journal.Shown("agent"), LogDir: a.config.Journal.Dir, ExternalLog: a.config.Journal.External, Capabilities: a.capabilities, Started: a.started,
		SessionDir: filepath.Join(a.paths.Runtime(), "sessions"), Log: a.deps.Log,
		Images: a.deps.Images, Level: a.level, StandaloneDir: a.paths.Standalone(), Standalone: a.standalone, Account: account,
		Access: a.guarded(), SwitchUser: a.config.SwitchUser, Heartbeat: a.config.HTTPHeartbeatInterval, Figures: a.figures, Timers: a.timers(), Pulls: a.deps.Pulls,
		Postmortems: a.postmortems,
	})
}

// figures are the metrics of what is around the core.
func (a *Agent) figures(emit func(name string, value float64)) {
	emit("slave/recovery_time_secs", time.Duration(a.recovery.Load()).Seconds())
	emit("slave/executor_directory_max_allowed_age_secs", a.garbage.allowed().Seconds())
	a.garbage.figures(emit)
	if a.deps.Figures != nil {
		a.deps.Figures(emit)
	}
}

func (a *Agent) server(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(a.deps.Log.Handler(), slog.LevelDebug),
	}
}

func (c *Config) shown() map[string]string {
	if c.Shown != nil {
		return c.Shown
	}
	return map[string]string{"work_dir": c.WorkDir, "master": c.Master, "launcher": c.Launcher}
}
