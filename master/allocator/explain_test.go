package allocator_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
)

// promised are clients, by agent: those to whom the explanation says that nothing is in the way.
type promised map[core.AgentID]map[string]bool

func clientOf(framework core.FrameworkID, role string) string {
	return fmt.Sprintf("%s in role %s", framework, role)
}

// promises asks about every framework.
func promises(a *allocator.Allocator, p *plain) promised {
	out := promised{}
	for id := range p.frameworks {
		answer := a.Explain(allocator.Question{Framework: core.FrameworkID(id), Most: 1 << 20})
		for _, role := range answer.Roles {
			if answer.Waiting || !role.Active || role.Suppressed {
				continue
			}
			for _, agent := range role.Agents {
				if agent.Verdict == allocator.OfferedNext {
					if out[agent.Agent] == nil {
						out[agent.Agent] = map[string]bool{}
					}
					out[agent.Agent][clientOf(core.FrameworkID(id), role.Role)] = true
				}
			}
		}
	}
	return out
}

// kept compares promises with the next offers: who is offered an agent was promised it, and what was promised is offered to
// somebody. With quota one agent's offer may use up what another was promised from; shared volumes of round may have to wait for
// the next sweep.
func kept(all promised, offers []core.AllocatorOffer, quota bool, round map[core.AgentID]bool) error {
	got := map[core.AgentID]bool{}
	for _, o := range offers {
		got[o.Agent] = true
		if who := clientOf(o.Framework, o.Role); !all[o.Agent][who] {
			return fmt.Errorf("%s is offered to %s, and the explanation named what is in the way", o.Agent, who)
		}
	}
	for agent, who := range all {
		if !got[agent] && !round[agent] && !(quota && len(offers) > 0) {
			return fmt.Errorf("%s is not offered, and the explanation promised it to %v", agent, who)
		}
	}
	return nil
}

// lent says whether an offer holds shared volumes.
func lent(o core.AllocatorOffer) bool {
	return slices.ContainsFunc(o.Resources, func(r *mesos.Resource) bool { return r.Shared != nil })
}

func (c *cluster) why(t *testing.T, framework string, need map[string]float64) allocator.AgentVerdict {
	t.Helper()
	answer := c.a.Explain(allocator.Question{Framework: core.FrameworkID(framework), Need: need, Most: 10})
	if !answer.Known || len(answer.Roles) == 0 || len(answer.Roles[0].Agents) == 0 {
		t.Fatalf("no verdict: %+v", answer)
	}
	return answer.Roles[0].Agents[0]
}

func TestTheExplanationNamesWhatIsInTheWay(t *testing.T) {
	need := map[string]float64{"cpus": 2}
	for _, test := range []struct {
		name  string
		setup func(*cluster)
		need  map[string]float64
		want  allocator.Verdict
		check func(allocator.AgentVerdict) bool
	}{
		{"in use by another", func(c *cluster) { c.step(framework("other", "o")); c.step(framework("f", "r")) }, need, allocator.InUse, func(v allocator.AgentVerdict) bool {
			return v.Lacks["cpus"] == 2 && len(v.Holders) == 1 && v.Holders[0].Framework == "other" && v.Holders[0].Has["cpus"] == 4
		}},
		{"declined", func(c *cluster) { c.step(back(c.step(framework("f", "r"))[0], time.Hour)) }, need, allocator.Declined, func(v allocator.AgentVerdict) bool {
			return v.Until.After(c0.Add(50 * time.Minute))
		}},
		{"too small", func(c *cluster) { c.step(framework("f", "r")) }, map[string]float64{"cpus": 5, "gpus": 1}, allocator.TooSmall, func(v allocator.AgentVerdict) bool {
			return v.Lacks["cpus"] == 1 && v.Lacks["gpus"] == 1
		}},
		{"ports are counted", func(c *cluster) { c.step(framework("other", "o")); c.step(framework("f", "r")) }, map[string]float64{"ports": 11}, allocator.InUse, nil},
		{"limit", func(c *cluster) { c.step(quotas("r", nil, map[string]float64{"cpus": 1}), framework("f", "r")) }, need, allocator.QuotaLimit,
			func(v allocator.AgentVerdict) bool { return v.Role == "r" }},
		{"guarantee of others", func(c *cluster) {
			c.step(quotas("rich", map[string]float64{"cpus": 3}, nil))
			c.step(back(c.step(framework("f", "r"))[0], 0))
			c.wait(time.Second)
		}, need, allocator.QuotaGuarantees, func(v allocator.AgentVerdict) bool {
			return len(v.Owed) == 1 && v.Owed[0].Role == "rich" && v.Owed[0].Amounts["cpus"] == 3
		}},
		{"constraints", func(c *cluster) {
			f := framework("f", "r")
			f.Constraints = &scheduler.OfferConstraints{RoleConstraints: map[string]*scheduler.OfferConstraints_RoleConstraints{"r": onRack("z")}}
			c.step(f)
		}, need, allocator.Constraints, func(v allocator.AgentVerdict) bool {
			return len(v.Unmet) == 1 && v.Unmet[0].GetPredicate().GetTextEquals().GetValue() == "z"
		}},
		{"deactivated", func(c *cluster) { c.step(framework("f", "r")); c.step(core.AllocatorDeactivateAgent{ID: "a"}) }, need, allocator.Inactive, nil},
		{"whitelist", func(c *cluster) {
			c.step(framework("f", "r"))
			c.step(core.AllocatorSetWhitelist{Hostnames: []string{"x"}})
		}, need, allocator.NotListed, nil},
		{"minimum", func(c *cluster) { c.step(c.agent("a", "cpus:0.001"), framework("f", "r")) }, nil, allocator.BelowMinimum, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t)
			if test.name != "minimum" {
				c.step(c.agent("a", "cpus:4;mem:1024;ports:[31000-31009]"))
			}
			if test.name == "ports are counted" {
				c.step(c.agent("a", "cpus:4;mem:1024;ports:[31000-31019]"))
			}
			test.setup(c)
			got := c.why(t, "f", test.need)
			if got.Verdict != test.want || test.check != nil && !test.check(got) {
				t.Errorf("got %+v, want %s", got, test.want)
			}
		})
	}
}

var c0 = time.Unix(1_700_000_000, 0)

// TestReservedForOthersIsSaid also shows that what is reserved for the role itself is not in the way.
func TestReservedForOthersIsSaid(t *testing.T) {
	c := newCluster(t)
	c.step(c.agent("a", "cpus(rich):4;mem:1024"), framework("f", "r"), framework("g", "rich"))
	if got := c.why(t, "f", map[string]float64{"cpus": 1}); got.Verdict != allocator.Reserved || got.Role != "rich" {
		t.Errorf("got %+v", got)
	}
	if got := c.why(t, "g", map[string]float64{"cpus": 5}); got.Verdict != allocator.TooSmall || got.Lacks["cpus"] != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestSilenceIsSaidOfTheRole(t *testing.T) {
	c := newCluster(t)
	c.step(c.agent("a", "cpus:4;mem:1024"), core.AllocatorAddFramework{ID: "f", Active: true, Info: info([]string{"r", "s"}), Suppressed: []string{"s"}})
	answer := c.a.Explain(allocator.Question{Framework: "f"})
	if len(answer.Roles) != 2 || answer.Roles[0].Suppressed || !answer.Roles[1].Suppressed || !answer.Roles[0].Active {
		t.Errorf("got %+v", answer)
	}
	c.step(core.AllocatorDeactivateFramework{ID: "f"})
	if answer := c.a.Explain(allocator.Question{Framework: "f", Role: "r"}); len(answer.Roles) != 1 || answer.Roles[0].Active {
		t.Errorf("got %+v", answer)
	}
	if answer := c.a.Explain(allocator.Question{Framework: "unknown"}); answer.Known {
		t.Errorf("got %+v", answer)
	}
}

// TestTheEasiestAgentComesFirst, and all are counted.
func TestTheEasiestAgentComesFirst(t *testing.T) {
	c := newCluster(t)
	c.step(append(agents(c, 20, "cpus:1;mem:100"), c.agent("big", "cpus:8;mem:100"), framework("other", "o"))...)
	c.step(framework("f", "r"))
	answer := c.a.Explain(allocator.Question{Framework: "f", Need: map[string]float64{"cpus": 2}, Most: 3})
	role := answer.Roles[0]
	if len(role.Agents) != 3 || role.Agents[0].Agent != "big" || role.Agents[0].Verdict != allocator.InUse || role.Counts[allocator.TooSmall] != 20 {
		t.Errorf("got %+v", role)
	}
}

// BenchmarkExplain asks about one framework in one role and 10,000 agents that another holds.
func BenchmarkExplain(b *testing.B) {
	c := newCluster(b)
	commands := []core.AllocatorEvent{framework("other", "o")}
	for i := range 10_000 {
		commands = append(commands, c.agent(fmt.Sprint("x", i), "cpus:4;mem:1024"))
	}
	c.step(commands...)
	c.step(framework("f", "r"))
	q := allocator.Question{Framework: "f", Need: map[string]float64{"cpus": 2}, Most: 10}
	for b.Loop() {
		if answer := c.a.Explain(q); answer.Roles[0].Counts[allocator.InUse] != 10_000 {
			b.Fatalf("%+v", answer.Roles[0].Counts)
		}
	}
}
