package core

import (
	"errors"
	"fmt"
)

// CheckInvariants says what is wrong in the books, or nil. The simulation calls it after
// each step; it visits everything.
func (c *Core) CheckInvariants() error {
	for _, id := range sortedKeys(c.agents) {
		if err := c.checkAgent(c.agents[id]); err != nil {
			return fmt.Errorf("agent %s: %w", id, err)
		}
	}
	for _, id := range sortedKeys(c.frameworks) {
		if err := c.checkFramework(c.frameworks[id]); err != nil {
			return fmt.Errorf("framework %s: %w", id, err)
		}
	}
	for _, id := range sortedKeys(c.offers) {
		if err := c.checkOffer(c.offers[id]); err != nil {
			return fmt.Errorf("offer %s: %w", id, err)
		}
	}
	for id, in := range c.inverse {
		if in.offer != id || c.agents[in.agent.id] != in.agent || in.agent.unavailability == nil || in.framework.conn == 0 {
			return fmt.Errorf("inverse offer %s: agent %s, framework %s", id, in.agent.id, in.framework.id)
		}
	}
	for conn, f := range c.conns {
		if f.conn != conn || c.frameworks[f.id] != f {
			return fmt.Errorf("conn %d belongs to framework %s, which has conn %d", conn, f.id, f.conn)
		}
	}
	if n := c.pub.offers.length; n != len(c.offers) {
		return fmt.Errorf("%d offers published of %d", n, len(c.offers))
	}
	return nil
}

// checkAgent holds offered + used to what the agent has.
func (c *Core) checkAgent(a *agent) error {
	if a.offering != c.mayOffer(a) {
		return fmt.Errorf("offered %v, active %v, %d executors", a.offering, a.rec.Active, len(a.executors))
	}
	if c.gone[a.id] != nil || c.lost[a.id] != nil || c.recovered[a.id] != nil {
		return errors.New("registered and also gone, unreachable or recovered")
	}
	if (a.link != nil) != a.rec.Connected || a.rec.Active && a.link == nil {
		return fmt.Errorf("link %v, connected %t, active %t", a.link, a.rec.Connected, a.rec.Active)
	}
	var used, offered amounts
	for i, t := range a.tasks.items {
		if t.agentIndex != i || t.agent != a || t.framework.tasks[t.id] != t {
			return fmt.Errorf("task %s is not where it says", t.id)
		}
		if t.released != (Terminal(t.rec.State) || t.missing) {
			return fmt.Errorf("task %s in %s: released %t", t.id, t.rec.State, t.released)
		}
		if !t.released {
			used = used.plus(t.resources)
		}
	}
	for _, e := range a.executors {
		used = used.plus(e.resources)
	}
	for _, o := range a.offers.items {
		offered = offered.plus(o.resources)
	}
	switch {
	case !used.equal(a.used):
		return fmt.Errorf("used %s, but its tasks and executors use %s", a.used, used)
	case !offered.equal(a.offered):
		return fmt.Errorf("offered %s, but its offers hold %s", a.offered, offered)
	case a.used.negative() || a.offered.negative() || a.total.negative():
		return fmt.Errorf("negative: used %s, offered %s, total %s", a.used, a.offered, a.total)
	}
	// An agent may take back revocable resources that are in use: there they may be more than there are.
	if sum := used.plus(offered).allocated("").once().revocable(false); !a.total.contains(sum) {
		return fmt.Errorf("used and offered %s, of %s", sum, a.total)
	}
	return nil
}

func (c *Core) checkFramework(f *framework) error {
	if (f.conn != 0) != f.rec.Connected || f.conn != 0 && c.conns[f.conn] != f {
		return fmt.Errorf("conn %d, connected %t", f.conn, f.rec.Connected)
	}
	if f.conn == 0 && len(f.offers.items) > 0 {
		return fmt.Errorf("%d offers without a stream", len(f.offers.items))
	}
	for id, t := range f.tasks {
		if c.agents[t.agent.id] != t.agent {
			return fmt.Errorf("task %s is on agent %s, which is not registered", id, t.agent.id)
		}
		if f.unreachable[id] != nil {
			return fmt.Errorf("task %s is reachable and unreachable", id)
		}
	}
	if n := f.taskTable.length; n != len(f.tasks) {
		return fmt.Errorf("%d tasks published of %d", n, len(f.tasks))
	}
	return nil
}

func (c *Core) checkOffer(o *offer) error {
	if c.frameworks[o.framework.id] != o.framework || c.agents[o.agent.id] != o.agent {
		return errors.New("its framework or agent is gone")
	}
	if !o.agent.rec.Active || !o.framework.rec.Active {
		return errors.New("its framework or agent is not active")
	}
	return nil
}
