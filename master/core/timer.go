package core

import (
	"container/heap"
	"time"
)

// timer is one thing to do at a time. Setting do to nil cancels it.
type timer struct {
	at  time.Time
	seq uint64 // equal times run in the order of their making
	do  func()
}

func (t *timer) cancel() {
	if t != nil {
		t.do = nil
	}
}

// after does something once delay has passed.
func (c *Core) after(delay time.Duration, do func()) *timer {
	c.timerSeq++
	t := &timer{at: c.now.Add(delay), seq: c.timerSeq, do: do}
	heap.Push(&c.timers, t)
	return t
}

func (c *Core) runTimers() {
	for len(c.timers) > 0 && !c.timers[0].at.After(c.now) {
		t := heap.Pop(&c.timers).(*timer)
		if t.do != nil {
			t.do()
		}
	}
}

type timerHeap []*timer

// next is the time of the first timer that is not cancelled.
func (h *timerHeap) next() time.Time {
	for len(*h) > 0 {
		if (*h)[0].do != nil {
			return (*h)[0].at
		}
		heap.Pop(h)
	}
	return time.Time{}
}

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].seq < h[j].seq
	}
	return h[i].at.Before(h[j].at)
}
func (h timerHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push and Pop implement heap.Interface.
func (h *timerHeap) Push(x any) { *h = append(*h, x.(*timer)) }
func (h *timerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
