package sim

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// Config is the shape of a simulated cluster. Zero values are drawn from the seed.
type Config struct {
	Agents     int
	Frameworks int
	// Faults is how long things go wrong; Settle how long they then have to come right.
	Faults, Settle time.Duration
	// Trace, when not nil, gets a line for everything that happens.
	Trace func(line string)
}

// Result is what one seed gave.
type Result struct {
	Seed      uint64
	Hash      uint64
	Steps     int
	Simulated time.Duration
	Launched  int
	Crashes   int
	// Preempted counts the updates of tasks that were ended for others.
	Preempted int
	// Err is the first invariant that did not hold.
	Err error
}

// world is one run.
type world struct {
	clock
	config     Config
	rng        *rand.Rand
	hash       hash.Hash64
	net        *network
	registry   *registryStore
	masters    []*masterNode
	agents     []*agentNode
	frameworks []*frameworkNode
	operator   *operator
	check      *checker
	steps      int
	launched   int
	crashes    int
	preempted  int
	calm       bool // faults are over
	err        error
	// offerTimeout is the masters' --offer_timeout; zero for none.
	offerTimeout time.Duration
	// keepers says that frameworks have volumes, in every third seed: the others stay as they were.
	keepers bool
	// lending says that agents oversubscribe, in every seventh seed.
	lending bool
	ids     uint64
}

// Run simulates the cluster of one seed.
func Run(seed uint64, config Config) (result Result) {
	w := newWorld(seed, config)
	defer func() {
		result = Result{Seed: seed, Hash: w.hash.Sum64(), Steps: w.steps, Simulated: w.now.Sub(epoch),
			Launched: w.launched, Crashes: w.crashes, Preempted: w.preempted, Err: w.err}
		if p := recover(); p != nil {
			if _, mine := p.(violation); !mine {
				panic(fmt.Sprintf("seed %d: %v", seed, p))
			}
		}
	}()
	w.start()
	w.runUntil(epoch.Add(w.config.Faults))
	w.calmDown()
	end := w.now.Add(w.config.Settle)
	for w.now.Before(end) && !w.check.converged() {
		w.runUntil(w.now.Add(5 * time.Second))
	}
	w.check.final()
	return result
}

func newWorld(seed uint64, config Config) *world {
	w := &world{config: config, rng: rand.New(rand.NewPCG(seed, 0x61676f7261)), hash: fnv.New64a()}
	w.now, w.keepers, w.lending = epoch, seed%3 == 0, seed%7 == 5
	w.net = &network{w: w, blocked: map[[2]host]bool{}}
	w.registry = newRegistryStore(w)
	w.check, w.operator = newChecker(w), newOperator(w)
	w.config.Agents = orDraw(config.Agents, w.between(1, 5))
	w.config.Frameworks = orDraw(config.Frameworks, w.between(1, 3))
	if w.chance(0.5) {
		w.offerTimeout = time.Second + w.upTo(30*time.Second)
	}
	if w.config.Faults == 0 {
		w.config.Faults = time.Duration(w.between(60, 600)) * time.Second
	}
	if w.config.Settle == 0 {
		w.config.Settle = 45 * time.Minute
	}
	return w
}

func orDraw(given, drawn int) int {
	if given > 0 {
		return given
	}
	return drawn
}

func (w *world) start() {
	for i := range 2 {
		w.masters = append(w.masters, newMasterNode(w, i))
	}
	for i := range w.config.Agents {
		w.agents = append(w.agents, newAgentNode(w, i))
	}
	for i := range w.config.Frameworks {
		w.frameworks = append(w.frameworks, newFrameworkNode(w, i))
	}
	w.masters[0].lead()
	for _, a := range w.agents {
		w.after(w.upTo(2*time.Second), a.boot)
	}
	for _, f := range w.frameworks {
		w.after(w.upTo(2*time.Second), f.connect)
	}
	w.scheduleFault()
	if w.keepers {
		w.scheduleReservations()
	}
	if w.lending {
		w.scheduleLending()
	}
}

func (w *world) runUntil(t time.Time) {
	for w.next(t) {
		continue
	}
	w.now = t
}

// leader is the master that leads now; nil while none does.
func (w *world) leader() *masterNode {
	for _, m := range w.masters {
		if m.core != nil {
			return m
		}
	}
	return nil
}

// trace adds something that happened to the hash, and to the log of a replay.
func (w *world) trace(who host, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	w.steps++
	var at [8]byte
	binary.LittleEndian.PutUint64(at[:], uint64(w.now.Sub(epoch)))
	w.hash.Write(at[:])
	w.hash.Write([]byte(who))
	w.hash.Write([]byte(line))
	if w.config.Trace != nil {
		w.config.Trace(fmt.Sprintf("%12.6f %-10s %s", w.now.Sub(epoch).Seconds(), who, line))
	}
}

// violation ends a run.
type violation struct{ error }

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("after %v: %w", w.now.Sub(epoch), fmt.Errorf(format, args...))
	}
	panic(violation{w.err})
}

func (w *world) between(low, high int) int { return low + w.rng.IntN(high-low+1) }
func (w *world) chance(p float64) bool     { return w.rng.Float64() < p }
func (w *world) upTo(d time.Duration) time.Duration {
	return time.Duration(w.rng.Int64N(int64(d) + 1))
}

// latency is mostly a fraction of a millisecond, sometimes long.
func (w *world) latency() time.Duration {
	if w.chance(0.02) {
		return w.upTo(500 * time.Millisecond)
	}
	return 100*time.Microsecond + w.upTo(2*time.Millisecond)
}

func (w *world) uuid() (id [16]byte) {
	binary.LittleEndian.PutUint64(id[:8], w.rng.Uint64())
	binary.LittleEndian.PutUint64(id[8:], w.rng.Uint64())
	return id
}

func (w *world) id() uint64 {
	w.ids++
	return w.ids
}
