package allocatorbench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"
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
	// CPU is the median of the processor time of the whole process, the collector's included: what Value would be on a
	// machine with nothing else to do, or less where collecting ran beside.
	CPU float64
}

// Pass says whether the figure is at "must" or better.
func (f Figure) Pass() bool { return f.Value <= f.Must }

// forever is the longest refusal that the protocol allows.
const forever = 365 * 24 * time.Hour

// Run measures everything and reports each figure as it comes; small leaves out all of the matrix but its
// middle.
func Run(small bool, report func(Figure)) {
	for _, shape := range Matrix() {
		if !small || shape.Agents == 10_000 && shape.Frameworks == 1_000 {
			report(shape.Cycle())
		}
	}
	for _, f := range Filtered() {
		report(f)
	}
	for _, f := range Quota(3_000) {
		report(f)
	}
	for _, quota := range []bool{false, true} {
		report(Freed(Shape{Agents: 10_000, Frameworks: 1_000, Quota: quota}))
	}
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
func (w *world) step(commands []core.AllocatorEvent) ([]core.AllocatorOffer, spent) {
	w.now = w.now.Add(200 * time.Millisecond)
	begin, cpu := time.Now(), processorTime()
	ready := w.a.Step(w.now, commands)
	return ready.Offers, spent{time.Since(begin), processorTime() - cpu}
}

// spent is the time that a step took, by the wall and by the processors.
type spent struct{ wall, cpu time.Duration }

func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
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

func figure(name, unit string, scale time.Duration, times []spent, budget ...float64) Figure {
	at := func(order func(spent) time.Duration, i int) float64 {
		sorted := slices.SortedFunc(slices.Values(times), func(a, b spent) int { return cmp.Compare(order(a), order(b)) })
		return float64(order(sorted[i])) / float64(scale)
	}
	wall, cpu := func(t spent) time.Duration { return t.wall }, func(t spent) time.Duration { return t.cpu }
	return Figure{Name: name, Unit: unit, Must: budget[0], Goal: budget[1], Value: at(wall, len(times)/2), Worst: at(wall, len(times)-1),
		CPU: at(cpu, len(times)/2)}
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
	var one, all []spent
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
	return []Figure{figure("P2f/1000x200", "ms", time.Millisecond, one, 5, 0.1),
		figure("P2f/1000x200/sweep", "ms", time.Millisecond, all, 5, 0.1)}
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
		figure(name+"cycle", "ms", time.Millisecond, []spent{cycle}, 200, 20),
		figure(name+"empty", "ms", time.Millisecond, []spent{empty}, 200, 20),
		figure(name+"add", "ms", time.Millisecond, []spent{adding}, 200, 20),
	}
}

// Freed is the time from freed resources to their offer, p99 as the worst but one percent.
func Freed(s Shape) Figure {
	w, held := s.world()
	var times []spent
	for i := range 3_000 {
		at := i * 7919 % len(held)
		offers, took := w.step(declined(held[at:at+1], 0))
		if len(offers) == 0 {
			panic("allocator bench: freed resources were not offered")
		}
		held[at] = offers[0]
		held = append(held, offers[1:]...)
		times = append(times, took)
	}
	slices.SortFunc(times, func(a, b spent) int { return cmp.Compare(a.wall, b.wall) })
	name := strings.Replace(s.Name(), "P2/", "P2i/", 1) + "/p99"
	f := figure(name, "ms", time.Millisecond, times[len(times)*99/100:][:1], 10, 1)
	f.Worst = figure(name, "ms", time.Millisecond, times, 10, 1).Worst
	return f
}
