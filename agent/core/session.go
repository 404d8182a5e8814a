package core

import (
	"math"
	"time"

	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
)

// phase is where the agent stands with the leading master.
type phase int

const (
	offline    phase = iota // waiting for nextTry
	connecting              // a Connect is under way
	joining                 // (re-)registration sent
	joined
)

// maxBackoff caps the delays of registration (mesos.md §1.4).
const maxBackoff = time.Minute

// toldTasks bounds the tasks of a completed framework that a master is told of: as many as one lists
// (--max_completed_tasks_per_framework), so that a registration has a bound, too.
const toldTasks = 1000

// session is the state of the link.
type session struct {
	phase       phase
	master      string // hostname of the one that it registered with last
	link        LinkID
	attempts    int
	nextTry     time.Time // offline: connect; joining: register again
	pingTimeout time.Duration
	lastPing    time.Time
	toldDrained bool // the master knows that nothing is left
	held        bool // no contact before executors had their time to reconnect
	// exits of executors that ended while a registration waited for its answer; at most as
	// many as the registration listed.
	exits []*link.FromAgent
}

func (s *session) wake() time.Time {
	switch {
	case s.held:
		return time.Time{}
	case s.phase == offline || s.phase == joining:
		return s.nextTry
	case s.phase == joined:
		return s.lastPing.Add(s.pingTimeout)
	}
	return time.Time{}
}

// backoff is random in [0, factor·2^attempts], at most a minute.
func (c *Core) backoff() time.Duration {
	limit := float64(c.config.Timers.RegistrationBackoff) * math.Pow(2, float64(min(c.session.attempts, 16)))
	c.session.attempts++
	return time.Duration(c.config.Random() * min(limit, float64(maxBackoff)))
}

// expireSession acts on the session's timer.
func (c *Core) expireSession() {
	s := &c.session
	if at := s.wake(); at.IsZero() || c.now.Before(at) {
		return
	}
	switch s.phase {
	case offline:
		s.phase = connecting
		c.send(Connect{})
	case joining:
		c.register()
	case joined:
		c.note("no ping from the master", "for", s.pingTimeout)
		c.send(Disconnect{Link: s.link})
		c.offline(0)
	}
}

func (c *Core) offline(delay time.Duration) {
	c.session.phase, c.session.link, c.session.exits = offline, 0, nil
	c.session.nextTry = c.now.Add(delay)
	c.updates.Pause()
	c.operations.paused = true
}

func (c *Core) linkOpened(e LinkOpened) {
	if c.session.phase != connecting {
		c.send(Disconnect(e))
		return
	}
	c.session.link = e.Link
	c.register()
}

func (c *Core) linkClosed(e LinkClosed) {
	if e.Link != c.session.link || e.Link == 0 && c.session.phase != connecting {
		return
	}
	if c.session.phase == joined {
		c.session.attempts = 0
	}
	delay := c.backoff()
	c.note("link to the master closed", "reason", e.Reason, "retry_in", delay)
	c.offline(delay)
}

func (c *Core) leaderChanged() {
	if c.session.phase == connecting {
		return // the dialler is told too
	}
	if c.session.link != 0 {
		c.send(Disconnect{Link: c.session.link})
	}
	c.session.attempts = 0
	c.offline(0)
}

// register says who we are, for the first time or again, and plans a retry.
func (c *Core) register() {
	c.session.phase = joining
	c.updates.Pause()
	c.operations.paused = true
	// A fresh master needs a moment: the first retry waits a second at least.
	c.session.nextTry = c.now.Add(time.Second + c.backoff())
	version := c.config.Version
	if c.info.GetId() == nil {
		c.toMaster(&link.FromAgent{Message: &link.FromAgent_Register{Register: &link.Register{
			Agent: c.info, Version: &version, Capabilities: Capabilities(c.config.Features), CheckpointedResources: c.checkpointed(),
			AdvertisedIp: c.advertisedIP(),
		}}})
		return
	}
	c.toMaster(&link.FromAgent{Message: &link.FromAgent_Reregister{Reregister: c.reregister(version)}})
}

// advertisedIP is for the master; nil: the address of the link holds.
func (c *Core) advertisedIP() *string {
	if c.config.AdvertisedIP == "" {
		return nil
	}
	return &c.config.AdvertisedIP
}

// Capabilities are those that the master is told of an agent: all, or those of only.
func Capabilities(only map[mesos.AgentInfo_Capability_Type]bool) (out []*mesos.AgentInfo_Capability) {
	for _, kind := range []mesos.AgentInfo_Capability_Type{
		mesos.AgentInfo_Capability_MULTI_ROLE, mesos.AgentInfo_Capability_HIERARCHICAL_ROLE,
		mesos.AgentInfo_Capability_RESERVATION_REFINEMENT, mesos.AgentInfo_Capability_RESOURCE_PROVIDER,
		mesos.AgentInfo_Capability_RESIZE_VOLUME, mesos.AgentInfo_Capability_AGENT_OPERATION_FEEDBACK,
		mesos.AgentInfo_Capability_AGENT_DRAINING, mesos.AgentInfo_Capability_TASK_RESOURCE_LIMITS,
	} {
		if only == nil || only[kind] {
			out = append(out, &mesos.AgentInfo_Capability{Type: &kind})
		}
	}
	return out
}

// reregister tells everything that is known.
func (c *Core) reregister(version string) *link.Reregister {
	m := &link.Reregister{
		Agent: c.info, Version: &version, Capabilities: Capabilities(c.config.Features),
		CheckpointedResources: c.checkpointed(), Operations: c.operations.records(), DrainConfig: c.drain, AdvertisedIp: c.advertisedIP(),
	}
	for _, id := range sorted(c.frameworks) {
		f := c.frameworks[id]
		if f.terminating {
			continue
		}
		m.Frameworks = append(m.Frameworks, f.info)
		for _, eid := range sorted(f.executors) {
			e := f.executors[eid]
			if e.kind != Command && e.state != terminated {
				m.Executors = append(m.Executors, e.info)
			}
			for _, tid := range sorted(e.tasks) {
				m.Tasks = append(m.Tasks, e.tasks[tid].proto)
			}
		}
	}
	for _, f := range c.completed {
		done := &link.CompletedFramework{Framework: f.info}
		for _, e := range f.completed {
			done.Tasks = append(done.Tasks, e.completed...)
		}
		if over := len(done.Tasks) - toldTasks; over > 0 {
			done.Tasks = done.Tasks[over:]
		}
		m.CompletedFrameworks = append(m.CompletedFrameworks, done)
	}
	return m
}

func (c *Core) joined(timeout *float64) {
	c.session.phase, c.session.attempts, c.session.lastPing = joined, 0, c.now
	c.session.toldDrained = false
	c.session.pingTimeout = c.config.Timers.PingTimeout
	if timeout != nil && *timeout > 0 {
		c.session.pingTimeout = time.Duration(*timeout * float64(time.Second))
	}
	for _, exit := range c.session.exits {
		c.toMaster(exit)
	}
	c.session.exits = nil
	c.updates.Resume(c.now)
	c.operations.resume(c.now)
	c.counters.Registrations++
	if !c.oversubscribed.IsEmpty() {
		c.tellOversubscribed() // a registration knows nothing of it
	}
}

func (c *Core) registered(m *link.Registered) {
	if have := c.info.GetId(); have != nil && have.GetValue() != m.GetAgentId().GetValue() {
		c.note("the master calls this agent by another id", "id", have.GetValue(), "named", m.GetAgentId().GetValue())
		return
	}
	if c.info.GetId() == nil {
		info := cloneInfo(c.info)
		info.Id = m.GetAgentId()
		c.info = info
		c.persist(WriteAgent{Info: info})
	}
	c.note("registered with the master", "agent", c.agentID())
	c.session.master = m.GetMaster().GetHostname()
	c.joined(m.PingTimeoutSeconds)
}

func (c *Core) reregistered(m *link.Reregistered) {
	if m.GetAgentId().GetValue() != c.agentID() {
		return
	}
	c.note("re-registered with the master", "agent", c.agentID())
	c.session.master = m.GetMaster().GetHostname()
	c.joined(m.PingTimeoutSeconds)
	c.setDrain(m.DrainConfig)
	c.reconcile(m.GetReconcile())
}

func (c *Core) ping(m *link.Ping) {
	c.session.lastPing = c.now
	c.toMaster(&link.FromAgent{Message: &link.FromAgent_Pong{Pong: &link.Pong{Sequence: m.Sequence}}})
	if m.Connected != nil && !m.GetConnected() && c.session.phase == joined {
		c.session.attempts = 0
		c.register()
	}
}
