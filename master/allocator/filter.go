package allocator

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"
	"strings"
	"time"
)

// filter keeps from a client, for a time, whatever is not more than it refused.
type filter struct {
	agent   *agent
	client  *client // nil: it only looks at the agent again
	refused []portion
	until   time.Time
	next    *filter // of the same client on the same agent
	// checked is the version of the agent's free resources that was found covered.
	checked uint64
	bucket  *bucket
	inWheel int // its places in the bucket and among the client's
	inOwn   int
}

// bucket holds what ends at one mark of the wheel.
type bucket struct {
	at      time.Time
	filters []*filter
}

// wheel holds filters by the marks of a clock that grows coarser with the distance, so that the
// number of buckets stays small and adding or dropping one costs the same for any number.
type wheel struct {
	marks []*bucket // a heap
	at    map[int64]*bucket
}

func (w *wheel) Len() int           { return len(w.marks) }
func (w *wheel) Less(i, j int) bool { return w.marks[i].at.Before(w.marks[j].at) }
func (w *wheel) Swap(i, j int)      { w.marks[i], w.marks[j] = w.marks[j], w.marks[i] }
func (w *wheel) Push(x any)         { w.marks = append(w.marks, x.(*bucket)) }
func (w *wheel) Pop() any {
	last := w.marks[len(w.marks)-1]
	w.marks = w.marks[:len(w.marks)-1]
	return last
}

// granule is how exact the end of a duration is.
func granule(d time.Duration) time.Duration {
	switch {
	case d <= time.Minute:
		return 10 * time.Millisecond
	case d <= time.Hour:
		return time.Second
	case d <= 24*time.Hour:
		return time.Minute
	}
	return time.Hour
}

// add rounds up: no filter ends early.
func (w *wheel) add(f *filter, now time.Time) {
	step := granule(f.until.Sub(now)).Nanoseconds()
	mark := (f.until.UnixNano() + step - 1) / step * step
	b := w.at[mark]
	if b == nil {
		b = &bucket{at: time.Unix(0, mark)}
		if w.at == nil {
			w.at = map[int64]*bucket{}
		}
		w.at[mark] = b
		heap.Push(w, b)
	}
	f.bucket, f.inWheel = b, len(b.filters)
	b.filters = append(b.filters, f)
}

func (w *wheel) remove(f *filter) {
	list := f.bucket.filters
	last := list[len(list)-1]
	list[f.inWheel], last.inWheel = last, f.inWheel
	list[len(list)-1] = nil
	f.bucket.filters = list[:len(list)-1]
}

// due takes out all filters whose time has come.
func (w *wheel) due(now time.Time) (ended []*filter) {
	for len(w.marks) > 0 && !w.marks[0].at.After(now) {
		b := heap.Pop(w).(*bucket)
		delete(w.at, b.at.UnixNano())
		ended = append(ended, b.filters...)
	}
	return ended
}

// maxFilters bounds the refusals of one client on one agent that are kept beside each other.
const maxFilters = 16

// refuse remembers a declined offer. Of two refusals where one lasts as long as the other and covers
// as much, one is kept.
func (a *Allocator) refuse(ag *agent, c *client, refused []portion, d time.Duration) {
	until, n := a.now.Add(d), 1
	var first *filter // the one that ends first
	for old := ag.filters.of(c); old != nil; {
		next := old.next
		switch {
		case !old.until.Before(until) && containsAll(old.refused, refused):
			return
		case !until.Before(old.until) && containsAll(refused, old.refused):
			a.dropFilter(old)
		default:
			if n++; first == nil || old.until.Before(first.until) {
				first = old
			}
		}
		old = next
	}
	if n > maxFilters {
		a.dropFilter(first)
	}
	f := &filter{agent: ag, client: c, refused: refused, until: until, next: ag.filters.of(c), inOwn: len(c.filters)}
	ag.filters.set(c, f)
	c.filters = append(c.filters, f)
	a.filters.add(f, a.now)
}

// knows says whether one of a client's filters was found to cover the agent as it is.
func (f *filter) knows(version uint64) bool {
	for ; f != nil; f = f.next {
		if f.checked == version {
			return true
		}
	}
	return false
}

// covering finds a filter that covers a part; nil if there is none.
func (f *filter) covering(part []portion) *filter {
	for ; f != nil; f = f.next {
		if containsAll(f.refused, part) {
			return f
		}
	}
	return nil
}

// dropFilter forgets a filter that has not ended.
func (a *Allocator) dropFilter(f *filter) {
	a.filters.remove(f)
	f.detach()
}

// detach takes a filter from its agent and its client.
func (f *filter) detach() {
	if at := f.agent.filters.of(f.client); at != f {
		for at.next != f {
			at = at.next
		}
		at.next = f.next
	} else {
		f.agent.filters.set(f.client, f.next)
	}
	own := f.client.filters
	last := own[len(own)-1]
	own[f.inOwn], last.inOwn = last, f.inOwn
	own[len(own)-1] = nil
	f.client.filters = own[:len(own)-1]
}

// expire ends filters whose time has come: what they kept is offered again.
func (a *Allocator) expire() {
	for _, f := range a.filters.due(a.now) {
		if f.client != nil {
			f.detach()
		}
		if !f.agent.left {
			a.touch(f.agent)
		}
	}
}

// forget drops a framework's filters in roles; none means all.
func (a *Allocator) forget(f *framework, roles []string) {
	for _, c := range f.clients {
		if len(roles) > 0 && !slices.Contains(roles, c.role.path) {
			continue
		}
		for len(c.filters) > 0 {
			a.dropFilter(c.filters[len(c.filters)-1])
		}
		a.refresh(c)
	}
}

// forgetAgent drops all filters on an agent.
func (a *Allocator) forgetAgent(ag *agent) {
	clients := ag.filters.clients()
	slices.SortFunc(clients, byName)
	for _, c := range clients {
		for f := ag.filters.of(c); f != nil; f = ag.filters.of(c) {
			a.dropFilter(f)
		}
	}
}

// byName orders clients by role and framework.
func byName(x, y *client) int {
	return cmp.Or(strings.Compare(x.role.path, y.role.path), strings.Compare(x.name, y.name))
}

func sortedIDs[V any](m map[frameworkID]V) []frameworkID { return slices.Sorted(maps.Keys(m)) }
