package allocator

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"agora.dev/agora/master/core"
)

// Config is what an allocator needs to know. Zero values get the defaults of Mesos.
type Config struct {
	// Interval is the shortest life of a filter, and how often all agents are looked
	// at although nothing happened (--allocation_interval); 1 s.
	Interval time.Duration
	// ExcludedResources do not count in shares (--fair_sharing_excluded_resource_names).
	ExcludedResources []string
	// Minimum is what is worth an offer: any one of the sets suffices
	// (--min_allocatable_resources); by default 0.01 CPUs or 32 MiB.
	Minimum []map[string]float64
	// Region is where the master is; agents elsewhere are for frameworks with REGION_AWARE only.
	Region string
	// RoleSorter and FrameworkSorter are SortDRF, the default, or SortRandom (--role_sorter,
	// --framework_sorter).
	RoleSorter, FrameworkSorter string
	// RecoveryFactor of the agents that the registry knows must be back before anything is offered after an
	// election, where there is quota, but RecoveryTimeout is waited at most; 0.8 and 10 min
	// (--allocator_agent_recovery_factor, --allocator_recovery_timeout).
	RecoveryFactor  float64
	RecoveryTimeout time.Duration
	// OfferGPUsToAll offers agents with GPUs to frameworks without the capability
	// (--no-filter_gpu_resources).
	OfferGPUsToAll bool
	// Seed decides in which order agents are looked at.
	Seed uint64
}

// Allocator is the pure machine. One goroutine owns it.
type Allocator struct {
	config     Config
	minimum    []quantities
	overridden bool // some framework has a minimum of its own
	kinds      *kinds
	total      []int64 // of all agents, by scalar index
	excluded   []bool
	tree       *tree
	frameworks map[core.FrameworkID]*framework
	agents     map[core.AgentID]*agent
	order      []*agent // in the order of their coming; nil where one has left
	dirty      []*agent
	all        bool   // every agent is to be looked at
	stale      bool   // shares of everybody changed
	epoch      uint64 // counts what may make agents wanted that were not
	fresh      []*client
	answers    []core.AllocatorAnswer
	plain      []int64 // total without reservations and revocables
	limited    []*role // with quota
	// required is the sum of what must be kept free for guarantees, owing are the roles with unmet ones: as of
	// the last cycle, and of what recounted does not hold.
	required  []int64
	owing     []*role
	recounted []*role
	open      []*agent // that have something free, in no order
	clients   int
	// lastClient is the number of the newest client.
	lastClient uint32
	offered    int     // how many offers the last run made
	given      []grant // room for the grants of one agent
	surplus    []int64 // headroom of the running cycle
	filters    wheel
	sweep      time.Time
	rng        *rand.Rand
	now        time.Time
	runs       uint64
	changes    uint64          // of quotas
	whitelist  map[string]bool // by hostname; nil: every agent
	// expected agents, or the time holdUntil, end the pause after an election.
	expected  int
	holdUntil time.Time
}

// Ready is what a step yields.
type Ready struct {
	Offers []core.AllocatorOffer
	// Answers are to commands that ask, in their order.
	Answers []core.AllocatorAnswer
	// Wake is when the allocator wants a Step without commands.
	Wake time.Time
}

// reofferGap is how long resources that came back without a filter are kept from a
// framework that had some of the agent's: it bounds the rate of a framework that declines with
// refuse_seconds 0.
const reofferGap = 50 * time.Millisecond

// New makes an allocator without agents and frameworks.
func New(config Config) *Allocator {
	if config.Interval <= 0 {
		config.Interval = time.Second
	}
	if config.RecoveryFactor <= 0 {
		config.RecoveryFactor = 0.8
	}
	if config.RecoveryTimeout <= 0 {
		config.RecoveryTimeout = 10 * time.Minute
	}
	if config.Minimum == nil {
		config.Minimum = []map[string]float64{{"cpus": 0.01}, {"mem": 32}}
	}
	rng := rand.New(rand.NewPCG(config.Seed, 1))
	a := &Allocator{config: config, kinds: newKinds(), tree: newTree(config, rng), rng: rng,
		frameworks: map[core.FrameworkID]*framework{}, agents: map[core.AgentID]*agent{}}
	for _, set := range config.Minimum {
		amounts := quantities{}
		for _, name := range slices.Sorted(maps.Keys(set)) {
			amounts = append(amounts, quantity{a.kinds.index(name), milli(set[name])})
		}
		a.minimum = append(a.minimum, amounts)
	}
	return a
}

// Step carries out commands in order, and then offers what is free.
func (a *Allocator) Step(now time.Time, commands []core.AllocatorEvent) Ready {
	a.carryOut(now, commands)
	offers := a.allocate()
	answers := a.answers
	a.answers = nil
	return Ready{Offers: offers, Answers: answers, Wake: a.wake()}
}

// carryOut is a step up to its offers.
func (a *Allocator) carryOut(now time.Time, commands []core.AllocatorEvent) {
	a.now = now
	if len(commands)*8 > a.clients {
		a.stale = true // putting all in order once is cheaper than each at its turn
	}
	for _, command := range commands {
		a.apply(command)
	}
	a.expire()
	if !now.Before(a.sweep) {
		a.all = true // agents that nobody wanted, and where nothing changed, are skipped
		a.sweep = now.Add(a.config.Interval)
	}
}

// Runs counts the steps that looked at agents.
func (a *Allocator) Runs() uint64 { return a.runs }

func (a *Allocator) wake() time.Time {
	wake := a.sweep
	if len(a.filters.marks) > 0 && a.filters.marks[0].at.Before(wake) {
		wake = a.filters.marks[0].at
	}
	return wake
}

func (a *Allocator) apply(command core.AllocatorEvent) {
	switch c := command.(type) {
	case core.AllocatorAddFramework:
		a.setFramework(c.ID, c.Info, c.Suppressed, c.Constraints)
		a.activateFramework(c.ID, c.Active)
	case core.AllocatorUpdateFramework:
		a.setFramework(c.ID, c.Info, c.Suppressed, c.Constraints)
	case core.AllocatorRemoveFramework:
		a.removeFramework(c.ID)
	case core.AllocatorActivateFramework:
		a.activateFramework(c.ID, true)
	case core.AllocatorDeactivateFramework:
		a.activateFramework(c.ID, false)
		a.forget(a.framework(c.ID), nil)
	case core.AllocatorSuppress:
		a.suppress(c.ID, c.Roles, true)
	case core.AllocatorRevive:
		a.suppress(c.ID, c.Roles, false)
		a.forget(a.framework(c.ID), c.Roles)
	case core.AllocatorSetWeights:
		a.setWeights(c.Weights)
	case core.AllocatorSetQuotas:
		a.changes++
		a.setQuotas(c.Quotas)
	case core.AllocatorExpectAgents:
		a.expect(c.Count)
	case core.AllocatorSetWhitelist:
		a.setWhitelist(c)
	default:
		a.applyAgent(command)
	}
}

func (a *Allocator) applyAgent(command core.AllocatorEvent) {
	switch c := command.(type) {
	case core.AllocatorAddAgent:
		a.addAgent(c)
	case core.AllocatorLendAgent:
		a.lendAgent(c)
	case core.AllocatorUpdateAgent:
		a.updateAgent(c)
	case core.AllocatorRemoveAgent:
		a.removeAgent(c.ID)
	case core.AllocatorActivateAgent:
		a.activate(c.ID, true)
	case core.AllocatorDeactivateAgent:
		a.activate(c.ID, false)
	case core.AllocatorRecover:
		a.recover(c)
	case core.AllocatorConvert:
		a.convert(c)
	case core.AllocatorChange:
		a.change(c)
	case core.AllocatorShare:
		a.holdAgain(c)
	}
}

// lookAtAll lets every agent be looked at, even where nobody wanted it before.
func (a *Allocator) lookAtAll() { a.all, a.epoch = true, a.epoch+1 }
