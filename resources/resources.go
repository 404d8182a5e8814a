package resources

import (
	"slices"
	"strings"
)

// Resources is an immutable collection of amounts. The zero value is empty. Equal
// collections have equal items in equal order.
type Resources struct{ items []item }

// IsEmpty says whether there is nothing in it.
func (r Resources) IsEmpty() bool { return len(r.items) == 0 }

// Len is the number of distinct amounts.
func (r Resources) Len() int { return len(r.items) }

// collect makes the canonical form of items, which it may reorder.
func collect(items []item) Resources {
	slices.SortStableFunc(items, func(a, b item) int { return compareItem(&a, &b) })
	merged := items[:0]
	for i := range items {
		if items[i].empty() {
			continue
		}
		if last := len(merged) - 1; last >= 0 && compareSort(&merged[last], &items[i]) == 0 && merged[last].merges(&items[i]) {
			merged[last] = merged[last].plus(&items[i])
			continue
		}
		merged = append(merged, items[i])
	}
	if len(merged) == 0 {
		return Resources{}
	}
	return Resources{merged}
}

// Add is the sum.
func (r Resources) Add(other Resources) Resources {
	if len(r.items) == 0 {
		return other
	}
	if len(other.items) == 0 {
		return r
	}
	a, b := r.items, other.items
	sum := make([]item, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := compareItem(&a[0], &b[0]); {
		case compareSort(&a[0], &b[0]) == 0 && a[0].merges(&b[0]):
			sum = append(sum, a[0].plus(&b[0]))
			a, b = a[1:], b[1:]
		case c <= 0:
			sum, a = append(sum, a[0]), a[1:]
		default:
			sum, b = append(sum, b[0]), b[1:]
		}
	}
	return Resources{append(append(sum, a...), b...)}
}

// Sub takes other away. When r does not contain it whole, r comes back with ok false.
func (r Resources) Sub(other Resources) (left Resources, ok bool) {
	if len(other.items) == 0 {
		return r, true
	}
	rest := make([]item, 0, len(r.items))
	a := r.items
	for i := range other.items {
		want := &other.items[i]
		for len(a) > 0 && (compareSort(&a[0], want) < 0 || compareSort(&a[0], want) == 0 && !a[0].holds(want)) {
			rest, a = append(rest, a[0]), a[1:]
		}
		if len(a) == 0 || compareSort(&a[0], want) != 0 {
			return r, false
		}
		if remain, gone := a[0].minus(want); !gone {
			rest = append(rest, remain)
		}
		a = a[1:]
	}
	rest = append(rest, a...)
	if len(rest) == 0 {
		return Resources{}, true
	}
	return Resources{rest}, true
}

// Contains says whether other is part of r.
func (r Resources) Contains(other Resources) bool {
	a := r.items
	for i := range other.items {
		want := &other.items[i]
		for len(a) > 0 && (compareSort(&a[0], want) < 0 || compareSort(&a[0], want) == 0 && !a[0].holds(want)) {
			a = a[1:]
		}
		if len(a) == 0 || compareSort(&a[0], want) != 0 {
			return false
		}
		a = a[1:]
	}
	return true
}

// Equal says whether both hold the same.
func (r Resources) Equal(other Resources) bool {
	if len(r.items) != len(other.items) {
		return false
	}
	for i := range r.items {
		a, b := &r.items[i], &other.items[i]
		if compareItem(a, b) != 0 || a.shared != b.shared || !slices.Equal(a.ranges, b.ranges) || !slices.Equal(a.set, b.set) {
			return false
		}
	}
	return true
}

// filter keeps the items that keep accepts, in order. It copies only when one is dropped.
func (r Resources) filter(keep func(*item) bool) Resources {
	for i := range r.items {
		if keep(&r.items[i]) {
			continue
		}
		kept := append([]item(nil), r.items[:i]...)
		for j := i + 1; j < len(r.items); j++ {
			if keep(&r.items[j]) {
				kept = append(kept, r.items[j])
			}
		}
		return Resources{kept}
	}
	return r
}

// Allocate marks everything as allocated to role.
func (r Resources) Allocate(role string) Resources {
	if len(r.items) == 0 {
		return r
	}
	marked, mixed := make([]item, len(r.items)), false
	for i := range r.items {
		marked[i] = r.items[i]
		mixed = mixed || marked[i].role != ""
		marked[i].role = role
	}
	if mixed {
		return collect(marked)
	}
	return Resources{marked}
}

// Unallocated takes the mark of allocation off.
func (r Resources) Unallocated() Resources {
	for i := range r.items {
		if r.items[i].role != "" {
			return r.Allocate("")
		}
	}
	return r
}

// AllocatedTo is what is allocated to role.
func (r Resources) AllocatedTo(role string) Resources {
	return r.filter(func(i *item) bool { return i.role == role })
}

// AllocationRoles are the roles that parts of r are allocated to, sorted.
func (r Resources) AllocationRoles() []string {
	var roles []string
	for i := range r.items {
		if role := r.items[i].role; role != "" && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return roles
}

// Unreserved is what no reservation holds.
func (r Resources) Unreserved() Resources {
	return r.filter(func(i *item) bool { return len(i.reservations()) == 0 })
}

// Reserved is what a reservation holds.
func (r Resources) Reserved() Resources {
	return r.filter(func(i *item) bool { return len(i.reservations()) > 0 })
}

// ReservedTo is what is reserved to exactly this role.
func (r Resources) ReservedTo(role string) Resources {
	return r.filter(func(i *item) bool { return i.reservationRole() == role && role != "" })
}

// ReservationRoles are the roles that parts of r are reserved to, sorted.
func (r Resources) ReservationRoles() []string {
	var roles []string
	for i := range r.items {
		if role := r.items[i].reservationRole(); role != "" && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	return roles
}

// AllocatableTo is what role may use: the unreserved, and what is reserved to it or to one
// of its ancestors.
func (r Resources) AllocatableTo(role string) Resources {
	return r.filter(func(i *item) bool {
		reserved := i.reservationRole()
		return reserved == "" || reserved == role || strings.HasPrefix(role, reserved+"/")
	})
}

// NonRevocable and Revocable part what stays from what may be taken back at any time.
func (r Resources) NonRevocable() Resources {
	return r.filter(func(i *item) bool { return !i.revocable() })
}

// Revocable is the other part.
func (r Resources) Revocable() Resources { return r.filter((*item).revocable) }

// NonShared is what one user has alone.
func (r Resources) NonShared() Resources {
	return r.filter(func(i *item) bool { return !i.isShared() })
}

// Shared is what several may use at once.
func (r Resources) Shared() Resources { return r.filter((*item).isShared) }

// PersistentVolumes are the disks with an identity that outlives tasks.
func (r Resources) PersistentVolumes() Resources {
	return r.filter(func(i *item) bool { return i.disk().GetPersistence() != nil })
}

// NonRefined drops what is reserved more than once over.
func (r Resources) NonRefined() Resources {
	return r.filter(func(i *item) bool { return len(i.reservations()) < 2 })
}

// Scalars drops ranges and sets; NonScalars keeps only those.
func (r Resources) Scalars() Resources {
	return r.filter(func(i *item) bool { return i.kind == scalarKind })
}

// NonScalars keeps ranges and sets.
func (r Resources) NonScalars() Resources {
	return r.filter(func(i *item) bool { return i.kind != scalarKind })
}

// Named keeps the amounts of one name.
func (r Resources) Named(name string) Resources {
	return r.filter(func(i *item) bool { return i.name == name })
}

// Scalar is the sum of all amounts of name, in thousandths.
func (r Resources) Scalar(name string) int64 {
	var sum int64
	for i := range r.items {
		if one := &r.items[i]; one.kind == scalarKind && one.name == name {
			sum = addMilli(sum, one.milli)
		}
	}
	return sum
}

// Ports is the union of all ranges of the name "ports".
func (r Resources) Ports() Ranges { return r.Ranges("ports") }

// Ranges is the union of all ranges of name.
func (r Resources) Ranges(name string) Ranges {
	var all Ranges
	for i := range r.items {
		if r.items[i].name == name {
			all = all.Add(r.items[i].ranges)
		}
	}
	return all
}

// Set is the union of all sets of name.
func (r Resources) Set(name string) []string {
	var all []string
	for i := range r.items {
		if r.items[i].name == name {
			all = unionSet(all, r.items[i].set)
		}
	}
	return all
}

// Names are the names of all amounts, sorted, each once.
func (r Resources) Names() []string {
	var names []string
	for i := range r.items {
		if n := len(names); n == 0 || names[n-1] != r.items[i].name {
			names = append(names, r.items[i].name)
		}
	}
	return names
}
