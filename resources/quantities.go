package resources

import (
	"slices"
	"strings"

	"agora.dev/agora/api/mesos/v1"
)

// Quantity is an amount of one name, in thousandths.
type Quantity struct {
	Name  string
	Milli int64
}

// Quantities are amounts by name, sorted, without reservations, volumes and the like. They
// are immutable.
type Quantities []Quantity

// NewQuantities sorts and sums amounts.
func NewQuantities(amounts ...Quantity) Quantities {
	q := Quantities(slices.Clone(amounts))
	slices.SortFunc(q, func(a, b Quantity) int { return strings.Compare(a.Name, b.Name) })
	sum := q[:0]
	for _, one := range q {
		if last := len(sum) - 1; last >= 0 && sum[last].Name == one.Name {
			sum[last].Milli = addMilli(sum[last].Milli, one.Milli)
			continue
		}
		sum = append(sum, one)
	}
	return sum
}

// QuantitiesFromProto reads a map of scalars as in quotas and filters.
func QuantitiesFromProto(wire map[string]*mesos.Value_Scalar) (Quantities, error) {
	q := make(Quantities, 0, len(wire))
	for name, scalar := range wire {
		milli, err := Milli(scalar.GetValue())
		if err != nil {
			return nil, err
		}
		q = append(q, Quantity{name, milli})
	}
	return NewQuantities(q...), nil
}

// Quantities sums the scalars of r by name. What is shared counts once.
func (r Resources) Quantities() Quantities {
	var q Quantities
	for i := range r.items {
		one := &r.items[i]
		if one.kind != scalarKind {
			continue
		}
		if last := len(q) - 1; last >= 0 && q[last].Name == one.name {
			q[last].Milli = addMilli(q[last].Milli, one.milli)
			continue
		}
		q = append(q, Quantity{one.name, one.milli})
	}
	return q
}

// Get is the amount of name, zero when there is none.
func (q Quantities) Get(name string) int64 {
	for i := range q {
		if q[i].Name == name {
			return q[i].Milli
		}
	}
	return 0
}

// Contains says whether q has at least each amount of other.
func (q Quantities) Contains(other Quantities) bool {
	for _, want := range other {
		if q.Get(want.Name) < want.Milli {
			return false
		}
	}
	return true
}

// Within says whether no amount of q is above the limit of its name; no limit allows any.
func (q Quantities) Within(limits Quantities) bool {
	return !slices.ContainsFunc(q, func(one Quantity) bool {
		return slices.ContainsFunc(limits, func(l Quantity) bool { return l.Name == one.Name && one.Milli > l.Milli })
	})
}

// Add is the sum by name.
func (q Quantities) Add(other Quantities) Quantities {
	return NewQuantities(slices.Concat(q, other)...)
}

// Sub takes other away, never below zero. Names at zero disappear.
func (q Quantities) Sub(other Quantities) Quantities {
	var left Quantities
	for _, one := range q {
		if rest := one.Milli - other.Get(one.Name); rest > 0 {
			left = append(left, Quantity{one.Name, rest})
		}
	}
	return left
}

// IsEmpty says whether every amount is zero.
func (q Quantities) IsEmpty() bool {
	return !slices.ContainsFunc(q, func(one Quantity) bool { return one.Milli > 0 })
}

// String prints like Mesos: cpus:4; mem:1024, or {} for nothing.
func (q Quantities) String() string {
	if len(q) == 0 {
		return "{}"
	}
	parts := make([]string, 0, len(q))
	for _, one := range q {
		parts = append(parts, one.Name+":"+formatMilli(one.Milli))
	}
	return strings.Join(parts, "; ")
}

// Scale keeps of each item what keep allows: called with its name and amount it returns how
// much of it stays. Ranges, sets and indivisible disks are kept whole or, where the answer is
// less than the amount of a disk, dropped.
func (r Resources) Scale(keep func(name string, milli int64) int64) Resources {
	kept := make([]item, 0, len(r.items))
	for i := range r.items {
		one := r.items[i]
		if one.kind == scalarKind {
			left := keep(one.name, one.milli)
			if left <= 0 || one.whole() && left < one.milli {
				continue
			}
			one.milli = min(left, one.milli)
		}
		kept = append(kept, one)
	}
	return Resources{kept}
}
