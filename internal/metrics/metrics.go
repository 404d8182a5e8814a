// Package metrics keeps named figures and prints them as Mesos's /metrics/snapshot does.
//
// It owns the registry of figures and their form for Prometheus. It promises that counting costs one atomic
// addition, that a collection is sorted by name, that figures computed on demand run only when asked for, and that
// requests which come together share one computation. It refuses global registries: whoever counts is handed one.
package metrics

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Counter only grows.
type Counter struct{ n atomic.Uint64 }

// Add counts n more.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Value is the count.
func (c *Counter) Value() uint64 { return c.n.Load() }

// Gauge is a figure that is set.
type Gauge struct{ bits atomic.Uint64 }

// Set replaces the figure.
func (g *Gauge) Set(v float64) { g.bits.Store(math.Float64bits(v)) }

// Value is the figure.
func (g *Gauge) Value() float64 { return math.Float64frombits(g.bits.Load()) }

// Source gives figures that are computed on demand, each name once. It ends soon after ctx.
type Source func(ctx context.Context, emit func(name string, value float64))

// Registry is a set of figures. Make it with New.
type Registry struct {
	mu       sync.Mutex
	counters map[string]*Counter
	gauges   map[string]*Gauge
	timers   map[string]*Timer
	sources  []Source

	rounds
}

// New makes an empty registry.
func New() *Registry {
	return &Registry{rounds: rounds{turn: make(chan struct{}, 1)}, counters: map[string]*Counter{}, gauges: map[string]*Gauge{}, timers: map[string]*Timer{}}
}

func of[T any](r *Registry, m map[string]*T, name string) *T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m[name] == nil {
		m[name] = new(T)
	}
	return m[name]
}

// Counter gives the counter of that name.
func (r *Registry) Counter(name string) *Counter { return of(r, r.counters, name) }

// Gauge gives the gauge of that name.
func (r *Registry) Gauge(name string) *Gauge { return of(r, r.gauges, name) }

// Timer gives the timer of that name; by custom it ends in _ms.
func (r *Registry) Timer(name string) *Timer { return of(r, r.timers, name) }

// Register adds figures that are computed on demand.
func (r *Registry) Register(source Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sources = append(r.sources, source)
}

// window is how many of the newest durations percentiles are taken from.
const window = 1000

// Timer keeps the newest durations.
type Timer struct {
	mu    sync.Mutex
	last  float64
	sum   float64
	ring  []float64
	next  int
	count uint64
}

// Observe adds a duration.
func (t *Timer) Observe(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = float64(d) / 1e6
	t.sum += t.last
	t.count++
	if len(t.ring) < window {
		t.ring = append(t.ring, t.last)
		return
	}
	t.ring[t.next] = t.last
	t.next = (t.next + 1) % window
}

type percentile struct {
	name string
	at   float64
}

var percentiles = []percentile{{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p999", 0.999}, {"p9999", 0.9999}}

// emit gives the newest duration and, from two of them on, what they have in common.
func (t *Timer) emit(name string, c *Collection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == 0 {
		return
	}
	c.add(name, t.last)
	c.timed[name] = durations{t.sum, t.count}
	if t.count == 1 {
		return
	}
	sorted := slices.Sorted(slices.Values(t.ring))
	c.add(name+"/count", float64(t.count))
	c.add(name+"/min", sorted[0])
	c.add(name+"/max", sorted[len(sorted)-1])
	for _, p := range percentiles {
		c.add(name+"/"+p.name, quantile(sorted, p.at))
	}
}

// quantile interpolates between the two nearest values.
func quantile(sorted []float64, at float64) float64 {
	position := at * float64(len(sorted)-1)
	low := int(position)
	if low+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[low] + (position-float64(low))*(sorted[low+1]-sorted[low])
}
