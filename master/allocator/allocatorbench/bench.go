package allocatorbench

import (
	"fmt"
	"slices"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
	"agora.dev/agora/resources"
)

// Figure is one measurement with its budget, all in Unit.
type Figure struct {
	Name  string
	Value float64 // the median
	Worst float64
	Unit  string
	Must  float64
	Goal  float64
}

// Pass says whether the figure is at "must" or better.
func (f Figure) Pass() bool { return f.Value <= f.Must }

// forever is the longest refusal that the protocol allows.
const forever = 365 * 24 * time.Hour

// Run measures everything; small leaves the two largest clusters out.
func Run(small bool) []Figure {
	figures := []Figure{Cycle(10_000, 1_000, 100, 15)}
	if !small {
		figures = append(figures, Cycle(20_000, 3_000, 400, 40), Cycle(50_000, 6_000, 1500, 150))
	}
	figures = append(figures, Filtered()...)
	figures = append(figures, Quota(3_000)...)
	return append(figures, Freed(10_000, 1_000))
}

// world is an allocator and what it has offered.
type world struct {
	a   *allocator.Allocator
	now time.Time
}

func newWorld() *world {
	return &world{a: allocator.New(allocator.Config{Seed: 1}), now: time.Unix(1_700_000_000, 0)}
}

// step runs one batch and says how long it took.
func (w *world) step(commands []core.AllocatorEvent) ([]core.AllocatorOffer, time.Duration) {
	w.now = w.now.Add(200 * time.Millisecond)
	begin := time.Now()
	ready := w.a.Step(w.now, commands)
	return ready.Offers, time.Since(begin)
}

func declined(offers []core.AllocatorOffer, refusal time.Duration) []core.AllocatorEvent {
	commands := make([]core.AllocatorEvent, 0, len(offers))
	for _, o := range offers {
		commands = append(commands, core.AllocatorRecover{Framework: o.Framework, Agent: o.Agent, Resources: o.Resources, Refusal: refusal})
	}
	return commands
}

func frameworks(n int, role func(int) string) []core.AllocatorEvent {
	commands := make([]core.AllocatorEvent, 0, n)
	for i := range n {
		path := role(i)
		commands = append(commands, core.AllocatorAddFramework{ID: frameworkID(i), Active: true,
			Info: &mesos.FrameworkInfo{Roles: []string{path},
				Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}}})
	}
	return commands
}

func frameworkID(i int) core.FrameworkID { return core.FrameworkID(fmt.Sprintf("framework-%05d", i)) }
func agentID(i int) core.AgentID         { return core.AgentID(fmt.Sprintf("agent-%05d", i)) }
func star(int) string                    { return "*" }

const agentTotal = "cpus:24;mem:4096;disk:4096;ports:[31000-32000]"

// agents have a part used, with its ports in 16 pieces.
func agents(n, owners int, role func(int) string) []core.AllocatorEvent {
	total := mustParse(agentTotal)
	commands := make([]core.AllocatorEvent, 0, n)
	for i := range n {
		add := core.AllocatorAddAgent{ID: agentID(i), Info: &mesos.AgentInfo{}, Total: total.Proto(), Active: true}
		if owners > 0 {
			ports := make([]resources.Range, 16)
			for p := range ports {
				begin := uint64(31000 + p*60 + i%7)
				ports[p] = resources.Range{Begin: begin, End: begin + 10}
			}
			used := mustParse("cpus:2;mem:1024;disk:1024;ports:" + resources.NewRanges(ports...).String())
			add.Used = map[core.FrameworkID][]*mesos.Resource{frameworkID(i % owners): used.Allocate(role(i % owners)).Proto()}
		}
		commands = append(commands, add)
	}
	return commands
}

func mustParse(text string) resources.Resources {
	r, err := resources.Parse(text, "*")
	if err != nil {
		panic(err) // the texts are constants
	}
	return r
}

func figure(name, unit string, scale time.Duration, times []time.Duration, budget ...float64) Figure {
	slices.Sort(times)
	f := Figure{Name: name, Unit: unit, Must: budget[0], Goal: budget[1]}
	f.Value = float64(times[len(times)/2]) / float64(scale)
	f.Worst = float64(times[len(times)-1]) / float64(scale)
	return f
}

// Cycle is the full allocation cycle: every agent's free resources are offered. Budgets in ms.
func Cycle(nAgents, nFrameworks int, must, goal float64) Figure {
	w := newWorld()
	w.step(frameworks(nFrameworks, star))
	offers, _ := w.step(agents(nAgents, nFrameworks, star))
	var times []time.Duration
	for range 6 {
		var took time.Duration
		given := len(offers)
		if offers, took = w.step(declined(offers, forever)); len(offers) != nAgents || given != nAgents {
			panic(fmt.Sprintf("allocator bench: %d offers for %d agents", len(offers), nAgents))
		}
		times = append(times, took)
	}
	return figure(fmt.Sprintf("P2/%dx%d", nAgents, nFrameworks), "ms", time.Millisecond, times, must, goal)
}

// Filtered is a cycle that offers nothing because every framework filters every agent: after a
// change of one agent, and the sweep over all agents that is the safety net.
func Filtered() []Figure {
	const nAgents, nFrameworks = 1_000, 200
	w := newWorld()
	w.step(frameworks(nFrameworks, star))
	offers, _ := w.step(agents(nAgents, 0, star))
	for len(offers) > 0 {
		offers, _ = w.step(declined(offers, forever))
	}
	less := mustParse("cpus:23;mem:4096;disk:4096;ports:[31000-32000]").Proto()
	var one, all []time.Duration
	for i := range 40 {
		given, took := w.step([]core.AllocatorEvent{core.AllocatorUpdateAgent{ID: agentID(i), Info: &mesos.AgentInfo{}, Total: less}})
		if len(given) > 0 {
			panic("allocator bench: a filtered agent was offered")
		}
		if i%5 == 0 { // steps are 200 ms apart, the sweep is once in a second
			all = append(all, took)
		} else {
			one = append(one, took)
		}
	}
	slices.Sort(one)
	worst := max(slices.Max(all), slices.Max(one))
	return []Figure{figure("P2f/1000x200", "ms", time.Millisecond, one, 5, 0.1),
		figure("P2f/1000x200/sweep", "ms", time.Millisecond, []time.Duration{worst}, 5, 0.1)}
}

// Quota is n roles with quota on n agents: adding the frameworks, the cycle that satisfies the
// quotas, and the empty one after it.
func Quota(n int) []Figure {
	w := newWorld()
	role := func(i int) string { return fmt.Sprintf("role-%04d", i) }
	w.step([]core.AllocatorEvent{core.AllocatorSetQuotas{Quotas: quotas(n, role)}})
	_, adding := w.step(frameworks(n, role))
	offers, cycle := w.step(agents(n, 0, role))
	if len(offers) < n/2 {
		panic(fmt.Sprintf("allocator bench: %d offers for %d quotas", len(offers), n))
	}
	w.now = w.now.Add(time.Second)
	_, empty := w.step(nil)
	name := fmt.Sprintf("P2q/%dx%d/", n, n)
	return []Figure{
		figure(name+"cycle", "ms", time.Millisecond, []time.Duration{cycle}, 200, 20),
		figure(name+"empty", "ms", time.Millisecond, []time.Duration{empty}, 200, 20),
		figure(name+"add", "ms", time.Millisecond, []time.Duration{adding}, 200, 20),
	}
}

// Freed is the time from freed resources to their offer, p99 as the worst but one percent.
func Freed(nAgents, nFrameworks int) Figure {
	w := newWorld()
	w.step(frameworks(nFrameworks, star))
	held, _ := w.step(agents(nAgents, 0, star))
	var times []time.Duration
	for i := range 3_000 {
		at := i * 7919 % len(held)
		offers, took := w.step(declined(held[at:at+1], 0))
		if len(offers) != 1 {
			panic("allocator bench: freed resources were not offered")
		}
		held[at] = offers[0]
		times = append(times, took)
	}
	slices.Sort(times)
	p99 := times[len(times)*99/100]
	f := figure(fmt.Sprintf("P2i/%dx%d/p99", nAgents, nFrameworks), "ms", time.Millisecond, []time.Duration{p99}, 10, 1)
	f.Worst = float64(times[len(times)-1]) / float64(time.Millisecond)
	return f
}
