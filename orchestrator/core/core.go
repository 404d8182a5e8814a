// Package core is the orchestrator as one machine: apps and their instances on one side, the
// master's events on the other.
//
// It owns which instances there are, which shall be, and every call to the master. It promises
// that an instance is written down before its ACCEPT leaves, that a status is acknowledged
// after what it means is written down, and that what it does follows from what is written down,
// so that another process goes on where one ended. It refuses I/O.
package core

import (
	"sort"
	"time"

	marathon "agora.dev/agora/api/marathon/v2"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/orchestrator/instance"
	"agora.dev/agora/orchestrator/launchqueue"
)

// Config is what the machine is told.
type Config struct {
	Role string
	// NewID gives unique text for instances and deployments.
	NewID func() string
	// Decline is how long a refused offer stays away; default 120 s.
	Decline time.Duration
	// ReconcileEvery is how often every task is asked for; default 10 min.
	ReconcileEvery time.Duration
	// LaunchTimeout ends an instance that does not come to run; default 300 s.
	LaunchTimeout time.Duration
	// PerOffer bounds the launches on one offer; default 5.
	PerOffer int
	// BridgeName is the network of apps with mode container/bridge; default
	// "mesos-bridge".
	BridgeName string
}

// firstAnyPort is where the search for any port begins: the range that agents offer by
// default. What lies below is offered to be asked for by number.
const firstAnyPort = 31000

// killRetry is how often a kill that has had no effect is sent again.
const killRetry = 10 * time.Second

// reviveEvery is the least time between two REVIVE calls.
const reviveEvery = time.Second

// askAfterLoss is how long after a lost call the tasks are asked for.
const askAfterLoss = 5 * time.Second

// State is what is written down.
type State struct {
	FrameworkID string
	Apps        map[string]*marathon.App
	Versions    map[string]map[string]*marathon.App
	Instances   map[string]*instance.Instance
	Deployments map[string]*Deployment
}

// NewState is the state of a new cluster.
func NewState() *State {
	return &State{Apps: map[string]*marathon.App{}, Versions: map[string]map[string]*marathon.App{},
		Instances: map[string]*instance.Instance{}, Deployments: map[string]*Deployment{}}
}

// Deployment is a change under way.
type Deployment struct {
	ID        string            `json:"id"`
	Version   string            `json:"version"`
	Actions   map[string]string `json:"actions"` // by app
	StartedAt time.Time         `json:"startedAt"`
	// Previous is what each app was before; null: it was not.
	Previous map[string]*marathon.App `json:"previous"`
}

// Event is what the machine is told. The set is closed.
type Event interface{ event() }

// The events.
type (
	Subscribed   struct{ FrameworkID string }
	Disconnected struct{}
	Offers       struct{ Offers []*mesos.Offer }
	Update       struct{ Status *mesos.TaskStatus }
	// AgentLost: the master has given an agent up.
	AgentLost struct{ AgentID string }
	// CallLost: a call did not reach the master; what it was about is asked for soon.
	CallLost struct{}
	// Request is a person's; its answer carries the ID.
	Request struct {
		ID      uint64
		Command Command
	}
)

func (Subscribed) event()   {}
func (Disconnected) event() {}
func (Offers) event()       {}
func (Update) event()       {}
func (AgentLost) event()    {}
func (CallLost) event()     {}
func (Request) event()      {}

// Write is one thing to write down, or to remove when Value is nil.
type Write struct {
	Kind, ID string
	Value    any
}

// The kinds of writes. The ID of a version is the app's and the version's with "@" between.
const (
	KindFramework  = "framework"
	KindApp        = "app"
	KindVersion    = "version"
	KindInstance   = "instance"
	KindDeployment = "deployment"
)

// Answer is the answer to a request.
type Answer struct {
	ID    uint64
	Value any
	Err   *marathon.Error
}

// Ready is what to do, in this order: writes, calls, answers.
type Ready struct {
	Persist []Write
	Send    []*scheduler.Call
	Answers []Answer
	Notes   []Note
	Wake    time.Time
}

// Note is a fact worth a line in the log.
type Note struct {
	Text string
	Args []any
}

// Core is the machine. Use New.
type Core struct {
	cfg   Config
	state *State

	connected  bool
	suppressed bool
	revivedAt  time.Time
	revive     bool
	queue      launchqueue.Queue
	demand     map[string]*demand
	failures   map[string]*marathon.TaskFailure
	dirty      map[string]bool
	portHint   int
	ready      Ready

	reconciliation reconciliation
}

// New makes a machine that goes on from state.
func New(cfg Config, state *State) *Core {
	if cfg.Decline == 0 {
		cfg.Decline = 120 * time.Second
	}
	if cfg.ReconcileEvery == 0 {
		cfg.ReconcileEvery = 10 * time.Minute
	}
	if cfg.LaunchTimeout == 0 {
		cfg.LaunchTimeout = 300 * time.Second
	}
	if cfg.PerOffer == 0 {
		cfg.PerOffer = 5
	}
	if cfg.BridgeName == "" {
		cfg.BridgeName = "mesos-bridge"
	}
	c := &Core{cfg: cfg, state: state, demand: map[string]*demand{}, failures: map[string]*marathon.TaskFailure{},
		dirty: map[string]bool{}, portHint: firstAnyPort, reconciliation: reconciliation{silent: map[string]bool{}}}
	for id := range state.Apps {
		c.dirty[id] = true
	}
	for _, i := range state.Instances {
		c.dirty[i.AppID] = true
	}
	for _, d := range state.Deployments {
		for id := range d.Actions {
			c.dirty[id] = true
		}
	}
	return c
}

// Step handles one event.
func (c *Core) Step(now time.Time, event Event) Ready {
	switch e := event.(type) {
	case Subscribed:
		c.subscribed(now, e.FrameworkID)
	case Disconnected:
		c.connected = false
	case Offers:
		c.converge(now)
		c.offers(now, e.Offers)
	case Update:
		c.update(now, e.Status)
	case CallLost:
		c.reconcileSoon(now, askAfterLoss)
	case AgentLost:
		c.agentLost(now, e.AgentID)
	case Request:
		c.request(now, e)
	}
	return c.finish(now)
}

// Tick handles the passing of time.
func (c *Core) Tick(now time.Time) Ready {
	c.expire(now)
	c.reconcileDue(now)
	return c.finish(now)
}

func (c *Core) finish(now time.Time) Ready {
	c.converge(now)
	c.steer(now)
	c.ready.Wake = c.wake(now)
	ready := c.ready
	c.ready = Ready{}
	return ready
}

func (c *Core) persist(kind, id string, value any) {
	c.ready.Persist = append(c.ready.Persist, Write{kind, id, value})
}

func (c *Core) send(call *scheduler.Call) { c.ready.Send = append(c.ready.Send, call) }

func (c *Core) note(text string, args ...any) {
	c.ready.Notes = append(c.ready.Notes, Note{text, args})
}

func (c *Core) putInstance(i *instance.Instance) {
	c.state.Instances[i.ID] = i
	c.dirty[i.AppID] = true
	c.persist(KindInstance, i.ID, i)
}

func (c *Core) removeInstance(i *instance.Instance) {
	delete(c.state.Instances, i.ID)
	c.dirty[i.AppID] = true
	c.persist(KindInstance, i.ID, nil)
}

// instancesOf gives an app's instances in the order of their ids.
func (c *Core) instancesOf(app string) []*instance.Instance {
	var all []*instance.Instance
	for _, i := range c.state.Instances {
		if i.AppID == app {
			all = append(all, i)
		}
	}
	sort.Slice(all, func(a, b int) bool { return all[a].ID < all[b].ID })
	return all
}

func keys[V any](m map[string]V) []string {
	all := make([]string, 0, len(m))
	for key := range m {
		all = append(all, key)
	}
	sort.Strings(all)
	return all
}
