package allocator_test

import (
	"fmt"
	"testing"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
	"agora.dev/agora/resources"
)

// cluster drives one allocator, and checks its books after each step.
type cluster struct {
	t   testing.TB
	a   *allocator.Allocator
	now time.Time
}

func newCluster(t testing.TB) *cluster {
	return &cluster{t: t, a: allocator.New(allocator.Config{Seed: 7}), now: time.Unix(1_700_000_000, 0)}
}

func (c *cluster) step(commands ...core.AllocatorEvent) []core.AllocatorOffer {
	c.t.Helper()
	c.now = c.now.Add(100 * time.Millisecond)
	offers := c.a.Step(c.now, commands).Offers
	if err := c.a.CheckInvariants(); err != nil {
		c.t.Fatalf("after %v: %v", commands, err)
	}
	return offers
}

func (c *cluster) wait(d time.Duration) []core.AllocatorOffer {
	c.now = c.now.Add(d)
	return c.step()
}

func parse(t testing.TB, text string) resources.Resources {
	t.Helper()
	r, err := resources.Parse(text, "*")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func read(t testing.TB, o core.AllocatorOffer) resources.Resources {
	t.Helper()
	r, err := resources.FromProto(o.Resources)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func framework(id string, roles ...string) core.AllocatorAddFramework {
	return core.AllocatorAddFramework{ID: core.FrameworkID(id), Active: true, Info: info(roles)}
}

func info(roles []string, capabilities ...mesos.FrameworkInfo_Capability_Type) *mesos.FrameworkInfo {
	f := &mesos.FrameworkInfo{Roles: roles}
	for _, c := range append(capabilities, mesos.FrameworkInfo_Capability_MULTI_ROLE) {
		f.Capabilities = append(f.Capabilities, &mesos.FrameworkInfo_Capability{Type: c.Enum()})
	}
	return f
}

func (c *cluster) agent(id, total string) core.AllocatorAddAgent {
	return core.AllocatorAddAgent{ID: core.AgentID(id), Active: true, Info: &mesos.AgentInfo{}, Total: parse(c.t, total).Proto()}
}

func back(o core.AllocatorOffer, refusal time.Duration) core.AllocatorRecover {
	return core.AllocatorRecover{Framework: o.Framework, Agent: o.Agent, Resources: o.Resources, Refusal: refusal}
}

func amounts(pairs map[string]float64) map[string]*mesos.Value_Scalar {
	out := map[string]*mesos.Value_Scalar{}
	for name, v := range pairs {
		out[name] = &mesos.Value_Scalar{Value: &v}
	}
	return out
}

func quotas(role string, guarantee, limit map[string]float64) core.AllocatorSetQuotas {
	return core.AllocatorSetQuotas{Quotas: map[string]*quota.QuotaConfig{role: {Role: &role, Guarantees: amounts(guarantee), Limits: amounts(limit)}}}
}

// tally says how many offers each framework got.
func tally(offers []core.AllocatorOffer) map[core.FrameworkID]int {
	n := map[core.FrameworkID]int{}
	for _, o := range offers {
		n[o.Framework]++
	}
	return n
}

func agents(c *cluster, n int, total string) (all []core.AllocatorEvent) {
	for i := range n {
		all = append(all, c.agent(fmt.Sprintf("a%03d", i), total))
	}
	return all
}
