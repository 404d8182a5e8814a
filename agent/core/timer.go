package core

import (
	"container/heap"
	"time"
)

// timers is a heap of the times at which an executor wants attention. Entries that were
// overtaken are skipped when they come up.
type timers struct {
	entries  entries
	sequence uint64
}

type entry struct {
	at       time.Time
	sequence uint64
	exec     *executorRun
}

type entries []entry

func (t *timers) next() time.Time {
	if len(t.entries) == 0 {
		return time.Time{}
	}
	return t.entries[0].at
}

func (t *timers) arm(e *executorRun) {
	at := earliest(e.deadline, e.wake)
	if at.IsZero() || !e.armed.IsZero() && !at.Before(e.armed) {
		return
	}
	e.armed = at
	t.sequence++
	heap.Push(&t.entries, entry{at: at, sequence: t.sequence, exec: e})
}

// due takes an executor whose time has come; nil when there is none.
func (t *timers) due(now time.Time) *executorRun {
	for len(t.entries) > 0 && !t.entries[0].at.After(now) {
		e := heap.Pop(&t.entries).(entry)
		if !e.at.Equal(e.exec.armed) {
			continue
		}
		e.exec.armed = time.Time{}
		if at := earliest(e.exec.deadline, e.exec.wake); at.IsZero() || at.After(now) {
			t.arm(e.exec)
			continue
		}
		return e.exec
	}
	return nil
}

func (h entries) Len() int { return len(h) }
func (h entries) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].sequence < h[j].sequence
}
func (h entries) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is for container/heap.
func (h *entries) Push(x any) { *h = append(*h, x.(entry)) }

// Pop is for container/heap.
func (h *entries) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = entry{}
	*h = old[:len(old)-1]
	return e
}
