package resources

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Range is a closed interval of whole numbers.
type Range struct{ Begin, End uint64 }

// Ranges is a set of whole numbers as sorted intervals that neither overlap nor touch. It is
// immutable.
type Ranges []Range

// NewRanges sorts and merges intervals. Reversed ones are dropped.
func NewRanges(intervals ...Range) Ranges {
	sorted := make(Ranges, 0, len(intervals))
	for _, r := range intervals {
		if r.Begin <= r.End {
			sorted = append(sorted, r)
		}
	}
	slices.SortFunc(sorted, compareRange)
	return sorted.coalesce()
}

func compareRange(a, b Range) int {
	if a.Begin < b.Begin {
		return -1
	}
	if a.Begin > b.Begin {
		return 1
	}
	return 0
}

// coalesce merges a sorted slice in place.
func (r Ranges) coalesce() Ranges {
	merged := r[:0]
	for _, next := range r {
		last := len(merged) - 1
		if last >= 0 && (merged[last].End == math.MaxUint64 || next.Begin <= merged[last].End+1) {
			merged[last].End = max(merged[last].End, next.End)
			continue
		}
		merged = append(merged, next)
	}
	if len(merged) == 0 {
		return nil
	}
	return merged
}

// Add is the union.
func (r Ranges) Add(other Ranges) Ranges {
	if len(r) == 0 {
		return other
	}
	if len(other) == 0 {
		return r
	}
	both := make(Ranges, 0, len(r)+len(other))
	for len(r) > 0 && len(other) > 0 {
		if r[0].Begin <= other[0].Begin {
			both, r = append(both, r[0]), r[1:]
		} else {
			both, other = append(both, other[0]), other[1:]
		}
	}
	both = append(append(both, r...), other...)
	return both.coalesce()
}

// Sub is what is in r and not in other.
func (r Ranges) Sub(other Ranges) Ranges {
	if len(other) == 0 {
		return r
	}
	var left Ranges
	for _, have := range r {
		for len(other) > 0 && other[0].End < have.Begin {
			other = other[1:]
		}
		begin, open := have.Begin, true
		for _, cut := range other {
			if cut.Begin > have.End {
				break
			}
			if cut.Begin > begin {
				left = append(left, Range{begin, cut.Begin - 1})
			}
			if cut.End >= have.End {
				open = false
				break
			}
			begin = cut.End + 1
		}
		if open {
			left = append(left, Range{begin, have.End})
		}
	}
	return left
}

// Contains says whether every number of other is in r.
func (r Ranges) Contains(other Ranges) bool {
	for _, want := range other {
		for len(r) > 0 && r[0].End < want.Begin {
			r = r[1:]
		}
		if len(r) == 0 || want.Begin < r[0].Begin || want.End > r[0].End {
			return false
		}
	}
	return true
}

// Overlaps says whether r and other have a number in common.
func (r Ranges) Overlaps(other Ranges) bool {
	for len(r) > 0 && len(other) > 0 {
		switch {
		case r[0].End < other[0].Begin:
			r = r[1:]
		case other[0].End < r[0].Begin:
			other = other[1:]
		default:
			return true
		}
	}
	return false
}

// Size is how many numbers are in r; the largest uint64 when there are more.
func (r Ranges) Size() uint64 {
	var size uint64
	for _, one := range r {
		n := one.End - one.Begin
		if n == math.MaxUint64 || size > math.MaxUint64-n-1 {
			return math.MaxUint64
		}
		size += n + 1
	}
	return size
}

// String prints like Mesos: [31000-32000, 33000-33000].
func (r Ranges) String() string {
	var b strings.Builder
	b.WriteByte('[')
	for i, one := range r {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.FormatUint(one.Begin, 10))
		b.WriteByte('-')
		b.WriteString(strconv.FormatUint(one.End, 10))
	}
	b.WriteByte(']')
	return b.String()
}
