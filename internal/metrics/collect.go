package metrics

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Figure is one figure at one moment.
type Figure struct {
	Name  string
	Value float64
}

// Collection is every figure at one moment, sorted by name. It is immutable.
type Collection struct {
	Figures []Figure
	// timed has the sum of all durations of each timer, in ms, and their number.
	timed map[string]durations
}

type durations struct {
	sum   float64
	count uint64
}

// Of makes a collection of figures and timers that are in no registry.
func Of(figures map[string]float64, timers map[string]*Timer) *Collection {
	c := &Collection{timed: map[string]durations{}}
	for name, timer := range timers {
		timer.emit(name, c)
	}
	for name, value := range figures {
		c.add(name, value)
	}
	c.sort()
	return c
}

func (c *Collection) add(name string, value float64) {
	c.Figures = append(c.Figures, Figure{name, value})
}

func (c *Collection) sort() {
	slices.SortFunc(c.Figures, func(a, b Figure) int { return cmp.Compare(a.Name, b.Name) })
}

// Rounds cost a third of a core at most: after each there is a pause, twice as long as it took, of a second at most.
const (
	pauseFactor = 2
	maxPause    = time.Second
	// sourcesTimeout is how long sources may take.
	sourcesTimeout = time.Second
)

// rounds lets those who ask at the same time share one computation, and leaves a pause between two.
type rounds struct {
	asked   sync.Mutex
	next    *round
	turn    chan struct{} // holds one while a round runs or pauses
	free    time.Time
	running sync.WaitGroup
}

type round struct {
	done   chan struct{}
	result *Collection
}

// Collect gives every figure, as they are after the call. When ctx ends before, it gives those that need no
// computation.
func (r *Registry) Collect(ctx context.Context) *Collection {
	r.asked.Lock()
	mine := r.next
	if mine == nil {
		mine = &round{done: make(chan struct{})}
		r.next = mine
		r.running.Go(func() { r.perform(mine) })
	}
	r.asked.Unlock()
	select {
	case <-mine.done:
		return mine.result
	case <-ctx.Done():
		return r.collect(nil)
	}
}

// Wait returns when no computation runs.
func (r *Registry) Wait() { r.running.Wait() }

func (r *Registry) perform(mine *round) {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	<-time.After(time.Until(r.free))
	r.asked.Lock()
	r.next = nil
	r.asked.Unlock()
	begin := time.Now()
	r.mu.Lock()
	sources := slices.Clone(r.sources)
	r.mu.Unlock()
	mine.result = r.collect(sources)
	took := time.Since(begin)
	r.free = begin.Add(took + min(pauseFactor*took, maxPause))
	close(mine.done)
}

func (r *Registry) collect(sources []Source) *Collection {
	c := &Collection{timed: map[string]durations{}}
	r.mu.Lock()
	for name, counter := range r.counters {
		c.add(name, float64(counter.Value()))
	}
	for name, gauge := range r.gauges {
		c.add(name, gauge.Value())
	}
	for name, timer := range r.timers {
		timer.emit(name, c)
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), sourcesTimeout)
	defer cancel()
	for _, source := range sources {
		source(ctx, c.add)
	}
	c.sort()
	return c
}

// AppendJSON appends the figures as one object.
func (c *Collection) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	for i, f := range c.Figures {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, f.Name), ':')
		dst = appendNumber(dst, f.Value)
	}
	return append(dst, '}')
}

func appendQuoted(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(text) // a string has no error
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	return append(append(dst, text...), '"')
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
