// Package orchestrator keeps apps running on a cluster: a framework in the manner of Marathon.
//
// It owns the wiring of its core, its store, its connection to the master and its HTTP API. It
// promises that what it was told survives it, and that another process on the same store takes
// its instances over. It refuses to know a master by any way but the scheduler API.
package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	mesos "agora.dev/agora/api/mesos/v1"
	api "agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/client/scheduler"
	"agora.dev/agora/internal/loop"
	"agora.dev/agora/kv"
	"agora.dev/agora/orchestrator/core"
	"agora.dev/agora/orchestrator/httpapi"
	"agora.dev/agora/orchestrator/store"
)

// Config says what the orchestrator is called and allowed.
type Config struct {
	Name     string // framework name; default "marathon"
	Role     string // default "*"
	User     string // default "root"
	Hostname string
	// Address is where the HTTP API is served, HOST:PORT, as told to the master and clients.
	Address string
	// Secure says that it is served by TLS.
	Secure  bool
	Version string
	// FailoverTimeout is how long the master keeps the tasks without us; default one week.
	FailoverTimeout time.Duration
	// Principal is the framework's, when the master authenticates.
	Principal string
	// BridgeName is the network of apps with mode container/bridge; default
	// "mesos-bridge", as Marathon's --mesos_bridge_name. Agents have it built in.
	BridgeName string
}

// Driver is the connection to the master; *scheduler.Client is one.
type Driver interface {
	Run(ctx context.Context, subscribe *api.Call_Subscribe, handler scheduler.Handler) error
	Call(ctx context.Context, call *api.Call) error
}

// Deps are what it works with; it closes none of them.
type Deps struct {
	Store  kv.Store
	Driver Driver
	Log    *slog.Logger
}

// Orchestrator is one. Use New, then Run; Handler may be served at any time.
type Orchestrator struct {
	cfg     Config
	deps    Deps
	loop    *loop.Loop[core.Event]
	api     *httpapi.API
	machine *machine
}

// New makes an orchestrator.
func New(cfg Config, deps Deps) *Orchestrator {
	for field, value := range map[*string]string{&cfg.Name: "marathon", &cfg.Role: "*", &cfg.User: "root"} {
		if *field == "" {
			*field = value
		}
	}
	if cfg.FailoverTimeout == 0 {
		cfg.FailoverTimeout = 7 * 24 * time.Hour
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	o := &Orchestrator{cfg: cfg, deps: deps, loop: loop.New[core.Event](1024, 64)}
	o.api = httpapi.New(httpapi.Config{Name: cfg.Name, Version: cfg.Version, Address: cfg.Address, Role: cfg.Role,
		FailoverTimeout: cfg.FailoverTimeout}, o.loop.Post)
	return o
}

// Handler serves the HTTP API.
func (o *Orchestrator) Handler() http.Handler { return o.api }

// Run loads the state, subscribes and works until ctx ends, or a write or the subscription
// fails for good.
func (o *Orchestrator) Run(ctx context.Context) error {
	kept := store.New(o.deps.Store)
	state, err := kept.Load(ctx)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	frameworkID := state.FrameworkID
	o.machine = &machine{orchestrator: o, ctx: func() context.Context { return ctx }, fail: stop, store: kept,
		core:  core.New(core.Config{Role: o.cfg.Role, NewID: uuid.NewString, BridgeName: o.cfg.BridgeName}, state),
		calls: make(chan *api.Call, 4096)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		o.machine.sendCalls(ctx)
	}()
	looped := make(chan struct{})
	go func() {
		defer close(looped)
		o.loop.Run(ctx, o.machine)
	}()
	err = o.deps.Driver.Run(ctx, o.subscription(frameworkID), &handler{o: o, ctx: func() context.Context { return ctx }})
	stop(err)
	<-looped
	<-ended
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return fmt.Errorf("orchestrator: %w", cause)
	}
	return nil
}

func (o *Orchestrator) subscription(id string) *api.Call_Subscribe {
	info := &mesos.FrameworkInfo{Name: proto.String(o.cfg.Name), User: proto.String(o.cfg.User),
		FailoverTimeout: proto.Float64(o.cfg.FailoverTimeout.Seconds()), Checkpoint: proto.Bool(true),
		Hostname: proto.String(o.cfg.Hostname), Roles: []string{o.cfg.Role}}
	if o.cfg.Address != "" {
		scheme := "http://"
		if o.cfg.Secure {
			scheme = "https://"
		}
		info.WebuiUrl = proto.String(scheme + o.cfg.Address)
	}
	if o.cfg.Principal != "" {
		info.Principal = proto.String(o.cfg.Principal)
	}
	for _, capability := range []mesos.FrameworkInfo_Capability_Type{mesos.FrameworkInfo_Capability_PARTITION_AWARE,
		mesos.FrameworkInfo_Capability_TASK_KILLING_STATE, mesos.FrameworkInfo_Capability_MULTI_ROLE,
		mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT} {
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: capability.Enum()})
	}
	if id != "" {
		info.Id = &mesos.FrameworkID{Value: proto.String(id)}
	}
	return &api.Call_Subscribe{FrameworkInfo: info}
}

// machine binds the core to its outputs; it is used by the loop alone.
type machine struct {
	orchestrator *Orchestrator
	ctx          func() context.Context
	fail         context.CancelCauseFunc
	store        *store.Store
	core         *core.Core
	calls        chan *api.Call
	broken       bool
}

// Step handles a batch: all writes in one go, then everything that depends on them.
func (m *machine) Step(now time.Time, batch []core.Event) (wake time.Time) {
	var all core.Ready
	for _, event := range batch {
		ready := m.core.Step(now, event)
		all.Persist = append(all.Persist, ready.Persist...)
		all.Send = append(all.Send, ready.Send...)
		all.Answers = append(all.Answers, ready.Answers...)
		all.Notes = append(all.Notes, ready.Notes...)
		all.Wake = ready.Wake
	}
	return m.carryOut(all)
}

// Tick handles the passing of time.
func (m *machine) Tick(now time.Time) (wake time.Time) { return m.carryOut(m.core.Tick(now)) }

func (m *machine) carryOut(ready core.Ready) time.Time {
	if m.broken {
		return time.Time{}
	}
	for _, note := range ready.Notes {
		m.orchestrator.deps.Log.Info(note.Text, note.Args...)
	}
	if len(ready.Persist) > 0 {
		if err := m.write(ready.Persist); err != nil {
			// What is in memory is ahead of what is kept: only a new start is safe.
			m.broken = true
			m.fail(err)
			return time.Time{}
		}
	}
	for _, call := range ready.Send {
		select {
		case m.calls <- call:
		case <-m.ctx().Done():
			return time.Time{}
		}
	}
	for _, answer := range ready.Answers {
		m.orchestrator.api.Answer(answer)
	}
	return ready.Wake
}

// write tries for 30 s.
func (m *machine) write(writes []core.Write) error {
	ctx, cancel := context.WithTimeout(m.ctx(), 30*time.Second)
	defer cancel()
	for {
		err := m.store.Apply(ctx, writes)
		if err == nil || errors.Is(err, kv.ErrFenced) || errors.Is(err, kv.ErrInvalid) || ctx.Err() != nil {
			return err
		}
		m.orchestrator.deps.Log.Warn("write to the store", "error", err)
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// sendCalls sends in order. A call that is lost is made good by reconciliation and repetition.
func (m *machine) sendCalls(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case call := <-m.calls:
			if err := m.orchestrator.deps.Driver.Call(ctx, call); err != nil && ctx.Err() == nil {
				m.orchestrator.deps.Log.Warn("call to the master", "call", call.GetType(), "error", err)
				// Not for ever: the loop may itself wait for room among the calls.
				short, cancel := context.WithTimeout(ctx, time.Second)
				_ = m.orchestrator.loop.Post(short, core.CallLost{})
				cancel()
			}
		}
	}
}
