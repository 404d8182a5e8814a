// Package ratelimit slows principals down, as Mesos's --rate_limits says.
//
// It owns the document and the queues. It promises that a principal never gets more than its rate
// over time, that at most its capacity of requests wait, and that nobody's waiting costs another
// anything. It refuses bursts, as Mesos does: each request waits for its own turn.
package ratelimit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"
)

// OverCapacity says that too many requests wait already.
type OverCapacity struct{ Capacity uint64 }

func (e *OverCapacity) Error() string {
	return fmt.Sprintf("Message dropped: capacity(%d) exceeded", e.Capacity)
}

// Limits are the rates of principals. A nil *Limits lets everything through.
type Limits struct {
	named map[string]*limiter
	// others is shared by all principals that are not named; nil: they are not limited.
	others *limiter

	mu       sync.Mutex
	counters map[string]*Counter
}

// Counter counts the requests of one principal.
type Counter struct{ Received, Processed uint64 }

// maxCounted bounds how many principals are counted.
const maxCounted = 1 << 12

// Parse reads {"limits":[{"principal":…,"qps":…,"capacity":…}],"aggregate_default_qps":…,
// "aggregate_default_capacity":…}. Mesos docs/framework-rate-limiting.md: a principal without qps is
// not limited.
func Parse(text []byte) (*Limits, error) {
	var document struct {
		Limits []struct {
			Principal string   `json:"principal"`
			QPS       *float64 `json:"qps"`
			Capacity  *uint64  `json:"capacity"`
		} `json:"limits"`
		QPS      *float64 `json:"aggregate_default_qps"`
		Capacity *uint64  `json:"aggregate_default_capacity"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&document); err != nil {
		return nil, fmt.Errorf("rate limits: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("rate limits: text after the document")
	}
	l := &Limits{named: map[string]*limiter{}, counters: map[string]*Counter{}}
	for i, entry := range document.Limits {
		if _, twice := l.named[entry.Principal]; twice || entry.Principal == "" {
			return nil, fmt.Errorf("rate limits: limits[%d]: principal %q is empty or stands there twice", i, entry.Principal)
		}
		one, err := newLimiter(entry.QPS, entry.Capacity)
		if err != nil {
			return nil, fmt.Errorf("rate limits: limits[%d]: %w", i, err)
		}
		l.named[entry.Principal] = one
	}
	var err error
	if l.others, err = newLimiter(document.QPS, document.Capacity); err != nil {
		return nil, fmt.Errorf("rate limits: aggregate default: %w", err)
	}
	return l, nil
}

// limiter gives turns at a fixed distance.
type limiter struct {
	interval time.Duration
	capacity uint64

	mu      sync.Mutex
	next    time.Time
	waiting uint64
}

func newLimiter(qps *float64, capacity *uint64) (*limiter, error) {
	if qps == nil {
		if capacity != nil {
			return nil, errors.New("capacity without qps")
		}
		return nil, nil
	}
	if !(*qps > 0) || math.IsInf(*qps, 0) || *qps < 1e-6 {
		return nil, fmt.Errorf("qps %v is not a positive rate", *qps)
	}
	one := &limiter{interval: time.Duration(float64(time.Second) / *qps), capacity: math.MaxUint64}
	if capacity != nil {
		one.capacity = *capacity
	}
	return one, nil
}

// Wait returns when it is the request's turn, with *OverCapacity when too many wait, or with the
// context's error. An empty principal stands for nobody, who counts as not named.
func (l *Limits) Wait(ctx context.Context, principal string) error {
	if l == nil {
		return nil
	}
	counter := l.counter(principal)
	l.count(counter, func(c *Counter) { c.Received++ })
	one, named := l.named[principal]
	if !named {
		one = l.others
	}
	if one != nil {
		if err := one.wait(ctx); err != nil {
			return err
		}
	}
	l.count(counter, func(c *Counter) { c.Processed++ })
	return nil
}

func (m *limiter) wait(ctx context.Context) error {
	m.mu.Lock()
	now := time.Now()
	turn := m.next
	if turn.Before(now) {
		turn = now
	}
	pause := turn.Sub(now)
	if pause > 0 && m.waiting >= m.capacity {
		m.mu.Unlock()
		return &OverCapacity{m.capacity}
	}
	m.next = turn.Add(m.interval)
	if pause <= 0 {
		m.mu.Unlock()
		return nil
	}
	m.waiting++
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.waiting--
		m.mu.Unlock()
	}()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// counter finds the counter of a principal; nobody has none.
func (l *Limits) counter(principal string) *Counter {
	if principal == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counters[principal]
	if c == nil && len(l.counters) < maxCounted {
		c = &Counter{}
		l.counters[principal] = c
	}
	return c
}

func (l *Limits) count(c *Counter, change func(*Counter)) {
	if c == nil {
		return
	}
	l.mu.Lock()
	change(c)
	l.mu.Unlock()
}

// Counters gives what each principal has sent.
func (l *Limits) Counters() map[string]Counter {
	all := map[string]Counter{}
	if l == nil {
		return all
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for principal, c := range l.counters {
		all[principal] = *c
	}
	return all
}
