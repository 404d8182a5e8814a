// Package metrics keeps named figures and prints them as Mesos's /metrics/snapshot does.
//
// It owns the registry of figures. It promises that counting costs one atomic addition, that
// a snapshot is sorted by name, and that figures computed on demand run only when asked for.
// It refuses global registries: whoever counts is handed one.
package metrics

import (
	"maps"
	"math"
	"slices"
	"strconv"
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

// Source gives figures that are computed on demand.
type Source func(emit func(name string, value float64))

// Registry is a set of figures. Make it with New.
type Registry struct {
	mu       sync.Mutex
	counters map[string]*Counter
	gauges   map[string]*Gauge
	timers   map[string]*Timer
	sources  []Source
}

// New makes an empty registry.
func New() *Registry {
	return &Registry{counters: map[string]*Counter{}, gauges: map[string]*Gauge{}, timers: map[string]*Timer{}}
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

// Snapshot gives every figure.
func (r *Registry) Snapshot() map[string]float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]float64, len(r.counters)+len(r.gauges)+10*len(r.timers))
	for name, c := range r.counters {
		all[name] = float64(c.Value())
	}
	for name, g := range r.gauges {
		all[name] = g.Value()
	}
	for name, t := range r.timers {
		t.emit(name, all)
	}
	for _, source := range r.sources {
		source(func(name string, value float64) { all[name] = value })
	}
	return all
}

// AppendJSON appends the snapshot as one object, sorted by name.
func (r *Registry) AppendJSON(dst []byte) []byte {
	all := r.Snapshot()
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(all)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(strconv.AppendQuote(dst, name), ':')
		dst = appendNumber(dst, all[name])
	}
	return append(dst, '}')
}

func appendNumber(dst []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, v, 'f', -1, 64)
	if !slices.Contains(dst[start:], '.') {
		dst = append(dst, '.', '0')
	}
	return dst
}

// window is how many of the newest durations percentiles are taken from.
const window = 1000

// Timer keeps the newest durations.
type Timer struct {
	mu    sync.Mutex
	last  float64
	ring  []float64
	next  int
	count uint64
}

// Observe adds a duration.
func (t *Timer) Observe(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = float64(d) / 1e6
	t.count++
	if len(t.ring) < window {
		t.ring = append(t.ring, t.last)
		return
	}
	t.ring[t.next] = t.last
	t.next = (t.next + 1) % window
}

var percentiles = []struct {
	name string
	at   float64
}{{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p999", 0.999}, {"p9999", 0.9999}}

func (t *Timer) emit(name string, all map[string]float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == 0 {
		return
	}
	all[name] = t.last
	if t.count < 2 {
		return // as in Mesos: one value has no distribution
	}
	sorted := slices.Sorted(slices.Values(t.ring))
	all[name+"/count"] = float64(t.count)
	all[name+"/min"], all[name+"/max"] = sorted[0], sorted[len(sorted)-1]
	for _, p := range percentiles {
		all[name+"/"+p.name] = quantile(sorted, p.at)
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
