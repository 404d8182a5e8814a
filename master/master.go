// Package master is the wiring of a master: core, allocator, registry and edges, and the
// goroutines that run them.
//
// It owns the process-wide order of starting and stopping. It promises that core and
// allocator run in loops of their own, that every goroutine has ended when Run returns, and
// that a master which may no longer lead stops. It refuses to decide anything that a core
// could.
package master

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/auth/guard"
	agentlinkclient "agora.dev/agora/client/agentlink"
	"agora.dev/agora/election"
	"agora.dev/agora/internal/metrics"
	"agora.dev/agora/kv"
	"agora.dev/agora/kv/memkv"
	"agora.dev/agora/master/agentlink"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
	"agora.dev/agora/master/httpapi"
	"github.com/google/uuid"
)

// ErrLostLeadership is Run's result when another master may lead.
var ErrLostLeadership = errors.New("leadership lost")

// Deps are what a master needs from outside. Zero values are good.
type Deps struct {
	// Store holds the registry; nil: in memory, lost with the process.
	Store kv.Store
	// Contender and Detector elect; nil: this master leads at once.
	Contender election.Contender
	Detector  election.Detector
	Log       *slog.Logger
	// Build adds to what Version says of the binary.
	Build httpapi.Version
	// LogLevel is what SET_LOGGING_LEVEL changes; nil: nothing.
	LogLevel *slog.LevelVar
}

// Master is one master. Make it with New; Run runs it once.
type Master struct {
	cfg      Config
	deps     Deps
	log      *slog.Logger
	listener net.Listener
	info     *mesos.MasterInfo
	started  time.Time

	metrics   *metrics.Registry
	api       *httpapi.Server
	links     *agentlink.Server
	core      *coreMachine
	allocator *allocatorMachine
	registrar *registrar
	whitelist *whitelist // nil: every host may be offered
	leader    atomic.Pointer[httpapi.Leader]

	access      guard.Access
	closeAccess func()
}

// New checks the configuration and starts to listen, so that Addr is known.
func New(cfg Config, deps Deps) (*Master, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Store == nil {
		deps.Store = memkv.New()
	}
	m := &Master{cfg: cfg, deps: deps, log: deps.Log, started: time.Now(), metrics: metrics.New()}
	m.leader.Store(&httpapi.Leader{})
	address := net.JoinHostPort(cfg.IP, strconv.Itoa(cfg.Port))
	var err error
	m.listener, err = net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the port is in use, perhaps by another master; choose another with --port", address)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	m.info = m.masterInfo()
	if err := m.openAccess(); err != nil {
		m.listener.Close()
		return nil, err
	}
	m.warnClear()
	if err := m.wire(); err != nil {
		m.listener.Close()
		return nil, err
	}
	return m, nil
}

// Addr is where the master listens, "host:port".
func (m *Master) Addr() string { return m.listener.Addr().String() }

// Dial opens an agent's link in memory, to this master whether it leads or not.
func (m *Master) Dial() *agentlinkclient.Stream { return m.links.Pipe() }

// Info is what the master says of itself.
func (m *Master) Info() *mesos.MasterInfo { return m.info }

func (m *Master) masterInfo() *mesos.MasterInfo {
	ip, port := m.cfg.Told.Advertised(net.ParseIP(m.cfg.IP), m.listener.Addr().(*net.TCPAddr).Port)
	info := &mesos.MasterInfo{
		Id:       ptr(uuid.NewString()),
		Port:     ptr(uint32(port)),
		Pid:      ptr("master@" + net.JoinHostPort(ip, strconv.Itoa(port))),
		Hostname: &m.cfg.Hostname,
		Version:  &m.cfg.Version,
		Address:  &mesos.Address{Hostname: &m.cfg.Hostname, Ip: &ip, Port: ptr(int32(port))},
		Ip:       ptr(uint32(0)),
		Domain:   m.cfg.Allocation.domain,
	}
	// The number has the address's bytes in network order.
	if v4 := net.ParseIP(ip).To4(); v4 != nil {
		info.Ip = ptr(binary.LittleEndian.Uint32(v4))
	}
	for _, c := range []mesos.MasterInfo_Capability_Type{mesos.MasterInfo_Capability_AGENT_UPDATE,
		mesos.MasterInfo_Capability_AGENT_DRAINING, mesos.MasterInfo_Capability_QUOTA_V2} {
		info.Capabilities = append(info.Capabilities, &mesos.MasterInfo_Capability{Type: c.Enum()})
	}
	return info
}

func (m *Master) wire() error {
	families, err := MetricFamilies()
	if err != nil {
		return err
	}
	cfg := core.Config{
		Master:                          m.info,
		Roles:                           m.cfg.Roles,
		Authorizer:                      m.access.ACLs,
		Weights:                         m.cfg.Weights,
		RefuseRootSubmissions:           !m.cfg.RootSubmissions,
		AgentPingTimeout:                m.cfg.AgentPingTimeout,
		MaxAgentPingTimeouts:            m.cfg.MaxAgentPingTimeouts,
		AgentReregisterTimeout:          m.cfg.AgentReregisterTimeout,
		OfferTimeout:                    m.cfg.OfferTimeout,
		RequireAgentDomain:              m.cfg.Allocation.RequireDomain,
		MaxExecutorsPerAgent:            m.cfg.Allocation.MaxExecutors,
		MaxCompletedFrameworks:          m.cfg.MaxCompletedFrameworks,
		MaxCompletedTasksPerFramework:   m.cfg.MaxCompletedTasksPerFramework,
		MaxUnreachableTasksPerFramework: m.cfg.MaxUnreachableTasksPerFramework,
	}
	m.cfg.limit(&cfg)
	m.core = newCoreMachine(core.New(cfg), m.log)
	m.allocator = newAllocatorMachine(allocator.New(m.cfg.allocator()), m.core.offer, m.metrics)
	m.whitelist = newWhitelist(m.cfg.Allocation.Whitelist, m.allocator.post, m.log)
	m.links = agentlink.New(m.core.post)
	build := buildOf(m.deps.Build)
	build.Version = m.cfg.Version
	m.api = httpapi.New(httpapi.Config{
		Post:           m.core.post,
		Snapshot:       m.core.snapshot,
		Leader:         func() httpapi.Leader { return *m.leader.Load() },
		Metrics:        m.metrics,
		Families:       families,
		Explain:        m.allocator.explain,
		Flags:          m.cfg.FlagValues,
		LogDir:         m.cfg.Journal.Dir,
		LogFile:        m.cfg.Journal.Shown("master"),
		ExternalLog:    m.cfg.Journal.External,
		LogLevel:       m.deps.LogLevel,
		System:         systemFigures,
		Cluster:        m.cfg.Cluster,
		Version:        build,
		Roles:          m.cfg.Roles,
		MaxSubscribers: m.cfg.MaxOperatorStreams,
		Link:           m.links,
		Access:         m.access,
		Log:            m.log,
	})
	m.registrar = newRegistrar(m.cfg.RegistryStoreTimeout, m.core.post, m.metrics)
	m.core.audit = m.access.Audit
	m.core.api, m.core.links, m.core.allocator, m.core.registrar = m.api, m.links, m.allocator, m.registrar
	m.metrics.Register(m.figures)
	return nil
}

// shutdownGrace is how long requests under way may take when the master stops.
const shutdownGrace = 2 * time.Second

// Run serves until ctx ends, which is no error, or until the master may not go on.
func (m *Master) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m.core.fail = cancel
	server := &http.Server{
		Handler:           m.api,
		ConnContext:       httpapi.ConnContext,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
	}
	// The loops outlive ctx until every connection is gone.
	loops, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	var wg, workers sync.WaitGroup
	wg.Go(func() { m.core.loop.Run(loops, m.core) })
	wg.Go(func() { m.allocator.loop.Run(loops, m.allocator) })
	wg.Go(func() { m.registrar.run(loops) })
	wg.Go(func() {
		if err := server.Serve(m.listener); !errors.Is(err, http.ErrServerClosed) {
			cancel(fmt.Errorf("serve on %s: %w", m.Addr(), err))
		}
	})
	if m.whitelist != nil {
		if err := m.whitelist.read(); err != nil {
			cancel(err)
		}
		workers.Go(func() { m.whitelist.run(ctx) })
	}
	workers.Go(func() {
		if err := m.lead(ctx); err != nil {
			cancel(err)
		}
	})
	m.log.Info("master started", "address", m.Addr(), "id", m.info.GetId())
	<-ctx.Done()
	workers.Wait()
	m.api.Close()
	m.links.Close()
	grace, done := context.WithTimeout(context.Background(), shutdownGrace)
	defer done()
	if server.Shutdown(grace) != nil {
		server.Close()
	}
	stopLoops()
	wg.Wait()
	m.metrics.Wait()
	m.closeAccess()
	m.log.Info("master stopped", "address", m.Addr())
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// Close gives the port back of a master that was never run.
func (m *Master) Close() {
	m.listener.Close()
	m.api.Close()
	m.links.Close()
	m.closeAccess()
}

func ptr[T any](v T) *T { return &v }
