package sim

import (
	"fmt"
	"time"

	agentcore "agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/core"
	"agora.dev/agora/resources"
)

// estimateEvery is how often an agent is told what it may lend.
const estimateEvery = 15 * time.Second

// scheduleLending lets every agent lend, and take back.
func (w *world) scheduleLending() {
	for _, a := range w.agents {
		w.estimate(a)
	}
	w.preemptSome()
}

// estimate tells an agent's process what it may lend, again and again: less than is lent already,
// too.
func (w *world) estimate(a *agentNode) {
	w.after(w.upTo(estimateEvery), func() {
		cpus := float64(w.between(0, 6)) / 2
		if w.calm {
			cpus = 1
		}
		if a.core != nil {
			a.step(agentcore.Oversubscribable{Resources: softened(amounts(cpus, 512*cpus, 0))})
		}
		w.estimate(a)
	})
}

// preemptSome asks agents to end executors, and not only those on revocable resources: the others it
// must leave alone.
func (w *world) preemptSome() {
	w.after(w.upTo(15*time.Second), func() {
		if w.calm {
			return
		}
		a := w.agents[w.rng.IntN(len(w.agents))]
		if a.core != nil {
			if live := a.core.Allocations(); len(live) > 0 {
				victim := live[w.rng.IntN(len(live))]
				a.step(agentcore.Preempt{Executor: victim.Executor, Container: victim.Container, Why: "simulated"})
			}
		}
		w.preemptSome()
	})
}

func softened(list []*mesos.Resource) []*mesos.Resource {
	for _, r := range list {
		r.Revocable = &mesos.Resource_RevocableInfo{}
	}
	return list
}

// preempted checks that only tasks on revocable resources are told so.
func (c *checker) preempted(t *simTask, status *mesos.TaskStatus) {
	if status.GetReason() != mesos.TaskStatus_REASON_CONTAINER_PREEMPTED {
		return
	}
	if c.w.preempted++; !t.soft {
		c.w.fail("task %s has no revocable resources, and was preempted", t.id)
	}
}

// lendingAgrees compares what the leader believes that each agent lends with what that says.
func (c *checker) lendingAgrees(snapshot *core.Snapshot) error {
	for agent := range snapshot.Agents.All() {
		for _, a := range c.w.agents {
			if string(a.host) != agent.Info.GetHostname() || a.core == nil {
				continue
			}
			believed, err := resources.FromProto(agent.Total)
			if err != nil {
				return fmt.Errorf("the total of %s is not valid: %w", a.host, err)
			}
			said, err := resources.FromProto(a.core.Snapshot().Oversubscribed)
			if err != nil {
				return fmt.Errorf("%s lends what is not valid: %w", a.host, err)
			}
			if !believed.Revocable().Equal(said) {
				return fmt.Errorf("%s lends %s, and the leader believes %s", a.host, said, believed.Revocable())
			}
		}
	}
	return nil
}
