package sim

import (
	"container/heap"
	"time"
)

// epoch is when every simulation starts.
var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// clock is virtual time: a queue of things that will happen.
type clock struct {
	now   time.Time
	queue queue
	seq   uint64
}

// timer is one entry of the queue.
type timer struct {
	at   time.Time
	seq  uint64
	run  func()
	dead bool
}

func (t *timer) cancel() {
	if t != nil {
		t.dead = true
	}
}

// after runs f once d has passed; entries of one moment run in the order of their making.
func (c *clock) after(d time.Duration, f func()) *timer {
	return c.at(c.now.Add(max(0, d)), f)
}

func (c *clock) at(when time.Time, f func()) *timer {
	if when.Before(c.now) {
		when = c.now
	}
	c.seq++
	t := &timer{at: when, seq: c.seq, run: f}
	heap.Push(&c.queue, t)
	return t
}

// next runs the first entry; false means that nothing will ever happen again, or not
// before until.
func (c *clock) next(until time.Time) bool {
	for len(c.queue) > 0 {
		t := c.queue[0]
		if t.dead {
			heap.Pop(&c.queue)
			continue
		}
		if t.at.After(until) {
			return false
		}
		heap.Pop(&c.queue)
		c.now = t.at
		t.run()
		return true
	}
	return false
}

type queue []*timer

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*timer)) }
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}
