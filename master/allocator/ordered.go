package allocator

import "slices"

// pieceLength is how long pieces are after sorting; they may grow to twice of it.
const pieceLength = 64

// ordered is a list in pieces, so that an entry that moves takes no more than a piece or two with it: moving
// pointers is dear while the collector marks. A list that is drawn from is one piece, in any order.
type ordered[T any] struct {
	pieces  [][]*T
	length  int
	scratch []*T // for sorting
}

// insert puts an entry where it belongs.
func (o *ordered[T]) insert(one *T, compare func(x, y *T) int) {
	if len(o.pieces) == 0 {
		o.append(one)
		return
	}
	p := min(o.piece(one, compare), len(o.pieces)-1)
	i, _ := slices.BinarySearchFunc(o.pieces[p], one, compare)
	o.pieces[p] = slices.Insert(o.pieces[p], i, one)
	o.length++
	if piece := o.pieces[p]; len(piece) == 2*pieceLength {
		rest := append(make([]*T, 0, 2*pieceLength), piece[pieceLength:]...)
		clear(piece[pieceLength:])
		o.pieces[p] = piece[:pieceLength]
		o.pieces = slices.Insert(o.pieces, p+1, rest)
	}
}

// piece is the first piece whose last entry does not come before one.
func (o *ordered[T]) piece(one *T, compare func(x, y *T) int) int {
	p, _ := slices.BinarySearchFunc(o.pieces, one, func(piece []*T, one *T) int { return compare(piece[len(piece)-1], one) })
	return p
}

// find gives an entry's piece and its place there; by its rank, or where the order is stale by looking for it.
func (o *ordered[T]) find(one *T, compare func(x, y *T) int) (p, i int) {
	if p = o.piece(one, compare); p < len(o.pieces) {
		i, _ = slices.BinarySearchFunc(o.pieces[p], one, compare)
		if i < len(o.pieces[p]) && o.pieces[p][i] == one {
			return p, i
		}
	}
	for p, piece := range o.pieces {
		if i := slices.Index(piece, one); i >= 0 {
			return p, i
		}
	}
	panic("allocator: an entry is not in its order")
}

// remove takes an entry out.
func (o *ordered[T]) remove(one *T, compare func(x, y *T) int) {
	o.cut(o.find(one, compare))
}

// drop takes an entry out whose rank has changed already, and that is expected near the front.
func (o *ordered[T]) drop(one *T) {
	for p, piece := range o.pieces {
		if i := slices.Index(piece, one); i >= 0 {
			o.cut(p, i)
			return
		}
	}
}

func (o *ordered[T]) cut(p, i int) {
	o.length--
	if o.pieces[p] = slices.Delete(o.pieces[p], i, i+1); len(o.pieces[p]) == 0 {
		o.pieces = slices.Delete(o.pieces, p, p+1)
	}
}

// replace moves an entry to its new place after change, which changes its rank.
func (o *ordered[T]) replace(one *T, compare func(x, y *T) int, change func()) {
	p, i := o.find(one, compare)
	change()
	piece := o.pieces[p]
	switch {
	case i+1 < len(piece) && compare(piece[i+1], one) < 0,
		i+1 == len(piece) && p+1 < len(o.pieces) && compare(o.pieces[p+1][0], one) < 0,
		i > 0 && compare(one, piece[i-1]) < 0,
		i == 0 && p > 0 && compare(one, o.pieces[p-1][len(o.pieces[p-1])-1]) < 0:
		o.cut(p, i)
		o.insert(one, compare)
	}
}

// visit goes through the list until it is told to stop.
func (o *ordered[T]) visit(one func(*T) (stop bool)) (stopped bool) {
	for _, piece := range o.pieces {
		if slices.ContainsFunc(piece, one) {
			return true
		}
	}
	return false
}

// sort puts everything in order, after all ranks may have changed.
func (o *ordered[T]) sort(compare func(x, y *T) int) {
	all := o.scratch[:0]
	for _, piece := range o.pieces {
		all = append(all, piece...)
	}
	slices.SortFunc(all, compare)
	o.fill(all)
	clear(all)
	o.scratch = all
}

// fill makes the list of entries in order; it uses the pieces that there are.
func (o *ordered[T]) fill(all []*T) {
	o.length = len(all)
	for n := 0; len(all) > 0; n++ {
		if n == len(o.pieces) {
			o.pieces = append(o.pieces, make([]*T, 0, 2*pieceLength))
		}
		next := all[:min(pieceLength, len(all))]
		clear(o.pieces[n][min(len(next), len(o.pieces[n])):])
		o.pieces[n] = append(o.pieces[n][:0], next...)
		if all = all[len(next):]; len(all) == 0 {
			clear(o.pieces[n+1:])
			o.pieces = o.pieces[:n+1]
		}
	}
}

// deleteFunc takes out the entries that match.
func (o *ordered[T]) deleteFunc(match func(*T) bool) {
	o.length = 0
	for p := range o.pieces {
		o.pieces[p] = slices.DeleteFunc(o.pieces[p], match)
		o.length += len(o.pieces[p])
	}
	o.pieces = slices.DeleteFunc(o.pieces, func(piece []*T) bool { return len(piece) == 0 })
}

// append adds an entry to a list that is drawn from.
func (o *ordered[T]) append(one *T) {
	if len(o.pieces) == 0 {
		o.pieces = append(o.pieces, nil)
	}
	o.pieces[0] = append(o.pieces[0], one)
	o.length++
}

// flat is a list that is drawn from.
func (o *ordered[T]) flat() []*T {
	if len(o.pieces) == 0 {
		return nil
	}
	return o.pieces[0]
}
