package core

import "iter"

const fan = 64

// table is a set of records in numbered slots, of which immutable views can be taken at
// any time: a view costs nothing, and the first change of a chunk after a view copies
// that chunk. Slots of removed records are used again, last freed first.
type table[T any] struct {
	epoch uint64
	top   []*middle[T]
	// topEpoch is the epoch that top was last copied in.
	topEpoch uint64
	free     []int
	next     int
	length   int
}

type middle[T any] struct {
	epoch uint64
	kids  [fan]*chunk[T]
}

type chunk[T any] struct {
	epoch uint64
	vals  [fan]*T
}

// insert puts value into a free slot and returns the slot.
func (t *table[T]) insert(value *T) int {
	slot := t.next
	if n := len(t.free); n > 0 {
		slot = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		t.next++
	}
	*t.cell(slot) = value
	t.length++
	return slot
}

// set replaces the record in slot.
func (t *table[T]) set(slot int, value *T) { *t.cell(slot) = value }

// remove empties slot.
func (t *table[T]) remove(slot int) {
	*t.cell(slot) = nil
	t.free = append(t.free, slot)
	t.length--
}

// view is the table as it is now.
func (t *table[T]) view() View[T] {
	t.epoch++
	return View[T]{top: t.top, end: t.next, length: t.length}
}

// each gives every record as it is now, without taking a view. The table may change
// meanwhile.
func (t *table[T]) each() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for slot := 0; slot < t.next; slot++ {
			if value := (View[T]{top: t.top}).at(slot); value != nil && !yield(value) {
				return
			}
		}
	}
}

// cell gives a slot to write to, in chunks that no view shares.
func (t *table[T]) cell(slot int) **T {
	m, c, i := slot/(fan*fan), slot/fan%fan, slot%fan
	if t.topEpoch != t.epoch || m >= len(t.top) {
		top := make([]*middle[T], max(len(t.top), m+1))
		copy(top, t.top)
		t.top, t.topEpoch = top, t.epoch
	}
	mid := t.top[m]
	switch {
	case mid == nil:
		mid = &middle[T]{epoch: t.epoch}
		t.top[m] = mid
	case mid.epoch != t.epoch:
		fresh := *mid
		fresh.epoch = t.epoch
		mid = &fresh
		t.top[m] = mid
	}
	leaf := mid.kids[c]
	switch {
	case leaf == nil:
		leaf = &chunk[T]{epoch: t.epoch}
		mid.kids[c] = leaf
	case leaf.epoch != t.epoch:
		fresh := *leaf
		fresh.epoch = t.epoch
		leaf = &fresh
		mid.kids[c] = leaf
	}
	return &leaf.vals[i]
}

// View is an immutable set of records, in an order that has no meaning unless said so.
type View[T any] struct {
	top []*middle[T]
	// slots from start to end hold records; with ring set they wrap around there.
	start, end, ring int
	length           int
}

// ViewOf makes a view of records that are in no table, in their order.
func ViewOf[T any](records []*T) View[T] {
	var t table[T]
	for _, record := range records {
		t.insert(record)
	}
	return t.view()
}

// Len is the number of records.
func (v View[T]) Len() int { return v.length }

// All gives every record.
func (v View[T]) All() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := v.start; i < v.end; i++ {
			slot := i
			if v.ring > 0 {
				slot = i % v.ring
			}
			if value := v.at(slot); value != nil && !yield(value) {
				return
			}
		}
	}
}

// BlockSize is how many slots a block has.
const BlockSize = fan

// Block is a stretch of a view: the slots From to To, without To, of one piece of its table.
type Block[T any] struct {
	// Records are all slots of the piece, nil where one is empty. A piece that did not change is the same array
	// in a later view.
	Records *[BlockSize]*T
	// Number is the piece's place in the table.
	Number, From, To int
}

// Blocks gives the records in the order of All, a block at a time.
func (v View[T]) Blocks() iter.Seq[Block[T]] {
	return func(yield func(Block[T]) bool) {
		for i := v.start; i < v.end; {
			slot, left := i, v.end-i
			if v.ring > 0 {
				slot = i % v.ring
				left = min(left, v.ring-slot)
			}
			from := slot % fan
			to := min(from+left, fan)
			i += to - from
			if leaf := v.leaf(slot); leaf != nil && !yield(Block[T]{&leaf.vals, slot / fan, from, to}) {
				return
			}
		}
	}
}

// Find gives the first record that matches, or nil.
func (v View[T]) Find(match func(*T) bool) *T {
	for value := range v.All() {
		if match(value) {
			return value
		}
	}
	return nil
}

func (v View[T]) at(slot int) *T {
	leaf := v.leaf(slot)
	if leaf == nil {
		return nil
	}
	return leaf.vals[slot%fan]
}

// leaf is the piece that has a slot, nil where there is none.
func (v View[T]) leaf(slot int) *chunk[T] {
	m := slot / (fan * fan)
	if m >= len(v.top) || v.top[m] == nil {
		return nil
	}
	return v.top[m].kids[slot/fan%fan]
}

// ring keeps the newest records of a bounded history, oldest first in its views.
type ring[T any] struct {
	table[T]
	bound int
	// start and end count all records ever dropped and ever added.
	start, end int
}

// add appends value and gives the record that fell out, or nil.
func (r *ring[T]) add(value *T) (dropped *T) {
	if r.bound <= 0 {
		return value
	}
	cell := r.cell(r.end % r.bound)
	if r.end-r.start == r.bound {
		dropped = *cell
		r.start++
	} else {
		r.length++
	}
	*cell = value
	r.end++
	return dropped
}

func (r *ring[T]) view() View[T] {
	r.epoch++
	return View[T]{top: r.top, start: r.start, end: r.end, ring: r.bound, length: r.length}
}
