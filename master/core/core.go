package core

import (
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
	"agora.dev/agora/master/registry"
)

// Core is the leader's state. Make one with New; it takes ownership of what events carry.
type Core struct {
	cfg   Config
	now   time.Time
	ready Ready
	// elected is set by Elected; stopped when a registry write failed.
	elected, stopped     bool
	startedAt, electedAt time.Time

	frameworks map[FrameworkID]*framework
	conns      map[ConnID]*framework
	removed    map[FrameworkID]bool // those in completed
	agents     map[AgentID]*agent
	byAddress  map[address]*agent
	links      map[LinkID]*agentLink
	recovered  map[AgentID]*recoveredAgent
	lost       map[AgentID]*lostAgent // unreachable
	gone       map[AgentID]*lostAgent
	forgotten  idCache // removed agents
	moving     map[AgentID]bool
	leaving    map[AgentID]bool     // a registry write that removes the agent is under way
	inverse    map[OfferID]*inverse // outstanding inverse offers
	awaited    map[AgentID]*agent   // on machines that are not UP
	turns      maintenanceTurns
	notices    notices
	// recoveredCount is how many agents the registry had at the election.
	recoveredCount int
	reviews        []*agent // that changed in this step, and are more than ordinary
	offers         map[OfferID]*offer
	orphans        map[FrameworkID][]*operation // of frameworks that have not come yet
	asked          map[uint64]func(AllocatorAnswer)

	registry *registry.Contents // settings only: weights, quotas, maintenance
	// orderedQuotas has those of the registry with the writes under way; quotaChanges counts
	// what the allocator was told of them.
	orderedQuotas map[string]*quota.QuotaConfig
	quotaChanges  uint64

	pending   map[PersistID]func()
	nextWrite PersistID
	timers    timerHeap
	timerSeq  uint64

	nextFramework, nextAgent, nextOffer, nextOperation, nextGeneration, nextAsked uint64

	shapes shapes
	pub    published
}

// New makes the core of a master that does not lead yet.
func New(cfg Config) *Core {
	cfg = cfg.withDefaults()
	c := &Core{
		cfg:        cfg,
		frameworks: map[FrameworkID]*framework{},
		conns:      map[ConnID]*framework{},
		removed:    map[FrameworkID]bool{},
		agents:     map[AgentID]*agent{},
		byAddress:  map[address]*agent{},
		links:      map[LinkID]*agentLink{},
		recovered:  map[AgentID]*recoveredAgent{},
		lost:       map[AgentID]*lostAgent{},
		gone:       map[AgentID]*lostAgent{},
		forgotten:  idCache{bound: cfg.MaxRemovedAgents, known: map[AgentID]bool{}},
		moving:     map[AgentID]bool{},
		leaving:    map[AgentID]bool{},
		inverse:    map[OfferID]*inverse{},
		awaited:    map[AgentID]*agent{},
		offers:     map[OfferID]*offer{},
		orphans:    map[FrameworkID][]*operation{},
		asked:      map[uint64]func(AllocatorAnswer){},
		pending:    map[PersistID]func(){},
		registry:   registry.NewContents(),
	}
	c.pub.completed.bound = cfg.MaxCompletedFrameworks
	c.pub.counters.Reasons = map[TaskEnd]uint64{}
	return c
}

func (cfg Config) withDefaults() Config {
	if cfg.Master == nil {
		cfg.Master = &mesos.MasterInfo{}
	}
	duration := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	number := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
	}
	duration(&cfg.HeartbeatInterval, 15*time.Second)
	duration(&cfg.AgentPingTimeout, 15*time.Second)
	duration(&cfg.AgentReregisterTimeout, 10*time.Minute)
	duration(&cfg.RegistryGCInterval, 15*time.Minute)
	duration(&cfg.RegistryMaxAgentAge, 14*24*time.Hour)
	number(&cfg.RegistryMaxAgentCount, 100*1024)
	number(&cfg.MaxAgentPingTimeouts, 5)
	number(&cfg.MaxCompletedFrameworks, 50)
	number(&cfg.MaxCompletedTasksPerFramework, 1000)
	number(&cfg.MaxUnreachableTasksPerFramework, 1000)
	number(&cfg.MaxRemovedAgents, 100_000)
	return cfg
}

// Step handles one event. Timers that are due run before it.
func (c *Core) Step(now time.Time, event Event) Ready {
	c.ready.Persist = c.ready.Persist[:0]
	c.ready.Send = c.ready.Send[:0]
	c.ready.Notes = c.ready.Notes[:0]
	if now.After(c.now) {
		c.now = now
	}
	if c.startedAt.IsZero() {
		c.startedAt = now
	}
	if !c.stopped {
		c.runTimers()
	}
	c.handle(event)
	c.review()
	c.ready.Wake = c.timers.next()
	c.pub.stale = true
	return c.ready
}

func (c *Core) handle(event Event) {
	if c.stopped || !c.elected {
		c.handleIdle(event)
		return
	}
	switch e := event.(type) {
	case FrameworkSubscribed:
		c.subscribe(e)
	case ConnClosed:
		c.connClosed(e.Conn)
	case SchedulerCall:
		c.schedulerCall(e)
	case AgentLinkOpened:
		c.links[e.Link] = &agentLink{id: e.Link, ip: e.IP, principal: e.Principal}
	case AgentLinkClosed:
		c.linkClosed(e.Link)
	case AgentMessage:
		c.agentMessage(e)
	case Offered:
		c.offered(e.Offers)
	case AllocatorAnswered:
		c.allocatorAnswered(e)
	case RegistryDone:
		c.registryDone(e)
	case OperatorCall:
		c.operatorCall(e)
	}
}

// notReady is the body of every 503.
const notReady = "Master has not finished recovery"

// handleIdle refuses what comes before this master leads, and after it must not any more.
func (c *Core) handleIdle(event Event) {
	switch e := event.(type) {
	case Elected:
		if !c.stopped {
			c.electedWith(e.Contents)
		}
	case FrameworkSubscribed:
		c.send(CloseConn{Conn: e.Conn})
	case SchedulerCall:
		c.answer(e.Request, 503, notReady)
	case OperatorCall:
		c.answer(e.Request, 503, notReady)
	case AgentLinkOpened:
		c.links[e.Link] = &agentLink{id: e.Link, ip: e.IP, principal: e.Principal}
	case AgentLinkClosed:
		delete(c.links, e.Link)
	case AgentMessage:
		c.refuse(e.Link, notReady)
	}
}

// electedWith takes over what the registry holds. Its agents have one re-registration
// timeout to come back.
func (c *Core) electedWith(contents *registry.Contents) {
	c.elected, c.electedAt = true, c.now
	c.registry.Weights, c.registry.Quotas = contents.Weights, contents.Quotas
	c.orderedQuotas = contents.Quotas
	c.registry.Schedule, c.registry.Machines = contents.Schedule, contents.Machines
	c.registry.Deactivated, c.registry.Draining = contents.Deactivated, contents.Draining
	c.publishMaintenance()
	for _, id := range sortedKeys(contents.Admitted) {
		admitted := contents.Admitted[id]
		c.addRecovered(&Agent{ID: AgentID(id), Info: admitted.Info, RegisteredAt: admitted.At,
			Deactivated: contents.Deactivated[id], Drain: contents.Draining[id].Info, DrainSince: contents.Draining[id].Since})
	}
	for _, id := range sortedKeys(contents.Unreachable) {
		c.addLost(AgentID(id), contents.Unreachable[id])
	}
	for _, id := range sortedKeys(contents.Gone) {
		c.addGone(AgentID(id), contents.Gone[id])
	}
	c.allocatorSettings()
	c.firstWeights()
	c.recoveredCount = len(c.recovered)
	c.pruneLoop()
	if len(c.recovered) > 0 {
		c.after(c.cfg.AgentReregisterTimeout, c.recoveryTimeout)
	}
	c.note(noteInfo, "elected", "recovered_agents", len(c.recovered), "unreachable_agents", len(c.lost),
		"gone_agents", len(c.gone))
}

func (c *Core) registryDone(e RegistryDone) {
	done := c.pending[e.ID]
	delete(c.pending, e.ID)
	if e.Err != nil {
		c.stopped = true
		c.timers = nil
		c.note(noteError, "registry write failed", "error", e.Err.Error())
		c.ready.Notes[len(c.ready.Notes)-1].StepDown = true
		return
	}
	if done != nil {
		done()
	}
}
