package core

import (
	"math"
	"slices"
	"strings"

	"agora.dev/agora/api/mesos/v1"
)

// amounts is a sum of resources. It is a value: no method changes its receiver.
type amounts []amount

// amount is so much of one kind of resource. Equal keys can be added.
type amount struct {
	key string
	// kind is a message of this kind; its value has no meaning.
	kind   *mesos.Resource
	milli  int64  // scalars, in thousandths
	ranges []span // sorted, apart
	set    []string
	// copies is how often a shared volume counts; 0 for what is not shared.
	copies int
}

// span holds both its ends.
type span struct{ begin, end uint64 }

// amountsOf adds up messages.
func amountsOf(resources []*mesos.Resource) amounts {
	sum := make(amounts, 0, len(resources))
	for _, r := range resources {
		sum = sum.put(amountOf(r), 1)
	}
	return sum
}

func amountOf(r *mesos.Resource) amount {
	r = upgraded(r)
	a := amount{key: keyOf(r), kind: r}
	if r.Shared != nil {
		a.copies = 1
	}
	switch r.GetType() {
	case mesos.Value_SCALAR:
		a.milli = int64(math.Round(r.GetScalar().GetValue() * 1000))
	case mesos.Value_RANGES:
		for _, v := range r.GetRanges().GetRange() {
			a.ranges = uniteSpans(a.ranges, []span{{v.GetBegin(), v.GetEnd()}})
		}
	case mesos.Value_SET:
		a.set = slices.Compact(slices.Sorted(slices.Values(r.GetSet().GetItem())))
	}
	return a
}

func (a amount) shared() bool { return a.kind.Shared != nil }

func (a amount) empty() bool {
	if a.shared() {
		return a.copies == 0
	}
	return a.milli == 0 && len(a.ranges) == 0 && len(a.set) == 0
}

// put adds (sign 1) or takes away (sign -1) in a slice that the caller owns.
func (s amounts) put(a amount, sign int64) amounts {
	i := s.find(a.key)
	if i < 0 {
		if sign < 0 || a.empty() {
			return s
		}
		return append(s, a)
	}
	b := s[i]
	if b.shared() {
		b.copies += int(sign) * a.copies
	} else {
		b.milli += sign * a.milli
	}
	if sign > 0 {
		b.ranges, b.set = uniteSpans(b.ranges, a.ranges), uniteSets(b.set, a.set)
	} else {
		b.ranges, b.set = subtractSpans(b.ranges, a.ranges), without(b.set, a.set)
	}
	if b.empty() {
		return slices.Delete(s, i, i+1)
	}
	s[i] = b
	return s
}

func (s amounts) find(key string) int {
	for i := range s {
		if s[i].key == key {
			return i
		}
	}
	return -1
}

func (s amounts) plus(t amounts) amounts {
	sum := make(amounts, len(s), len(s)+len(t))
	copy(sum, s)
	for _, a := range t {
		sum = sum.put(a, 1)
	}
	return sum
}

// minus takes t away; what s does not have stays away.
func (s amounts) minus(t amounts) amounts {
	rest := slices.Clone(s)
	for _, a := range t {
		rest = rest.put(a, -1)
	}
	return rest
}

func (s amounts) empty() bool { return len(s) == 0 }

func (s amounts) contains(t amounts) bool {
	for _, a := range t {
		if a.milli < 0 {
			return false
		}
		i := s.find(a.key)
		if i < 0 {
			if a.empty() {
				continue
			}
			return false
		}
		if s[i].copies < a.copies || a.whole() && s[i].milli != a.milli {
			return false
		}
		if s[i].milli < a.milli || len(subtractSpans(a.ranges, s[i].ranges)) > 0 || len(without(a.set, s[i].set)) > 0 {
			return false
		}
	}
	return true
}

func (s amounts) equal(t amounts) bool { return s.contains(t) && t.contains(s) }

// intersect is what both have.
func (s amounts) intersect(t amounts) amounts {
	var both amounts
	for _, a := range s {
		i := t.find(a.key)
		if i < 0 {
			continue
		}
		b := a
		b.milli, b.copies = min(a.milli, t[i].milli), min(a.copies, t[i].copies)
		b.ranges, b.set = subtractSpans(a.ranges, subtractSpans(a.ranges, t[i].ranges)), without(a.set, without(a.set, t[i].set))
		if !b.empty() {
			both = append(both, b)
		}
	}
	return both
}

// negative says whether something was taken that was not there.
func (s amounts) negative() bool {
	return slices.ContainsFunc(s, func(a amount) bool { return a.milli < 0 || a.copies < 0 })
}

// protos gives the messages.
func (s amounts) protos() []*mesos.Resource {
	list := make([]*mesos.Resource, 0, len(s))
	for _, a := range s {
		list = append(list, a.proto())
		for n := 1; n < a.copies; n++ {
			list = append(list, a.proto())
		}
	}
	return list
}

func (a amount) proto() *mesos.Resource {
	k := a.kind
	r := &mesos.Resource{Name: k.Name, Type: k.Type, Disk: k.Disk, Revocable: k.Revocable, Shared: k.Shared,
		AllocationInfo: k.AllocationInfo, ProviderId: k.ProviderId, Reservations: k.Reservations}
	switch k.GetType() {
	case mesos.Value_SCALAR:
		r.Scalar = &mesos.Value_Scalar{Value: ptr(float64(a.milli) / 1000)}
	case mesos.Value_RANGES:
		r.Ranges = &mesos.Value_Ranges{}
		for _, s := range a.ranges {
			r.Ranges.Range = append(r.Ranges.Range, &mesos.Value_Range{Begin: ptr(s.begin), End: ptr(s.end)})
		}
	case mesos.Value_SET:
		r.Set = &mesos.Value_Set{Item: a.set}
	}
	return r
}

// allocated gives the same resources, allocated to role; "" means to nobody.
func (s amounts) allocated(role string) amounts {
	var sum amounts
	for _, r := range s.protos() {
		r.AllocationInfo = nil
		if role != "" {
			r.AllocationInfo = &mesos.Resource_AllocationInfo{Role: ptr(role)}
		}
		sum = sum.put(amountOf(r), 1)
	}
	return sum
}

func uniteSets(a, b []string) []string {
	if len(b) == 0 {
		return a
	}
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}

func uniteSpans(a, b []span) []span {
	if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y span) int {
		if x.begin < y.begin {
			return -1
		}
		return 1
	})
	var out []span
	for _, s := range all {
		if n := len(out); n > 0 && (s.begin <= out[n-1].end || s.begin-1 == out[n-1].end) {
			out[n-1].end = max(out[n-1].end, s.end)
			continue
		}
		out = append(out, s)
	}
	return out
}

func subtractSpans(a, b []span) []span {
	out := a
	for _, cut := range b {
		var next []span
		for _, s := range out {
			if cut.end < s.begin || cut.begin > s.end {
				next = append(next, s)
				continue
			}
			if s.begin < cut.begin {
				next = append(next, span{s.begin, cut.begin - 1})
			}
			if s.end > cut.end {
				next = append(next, span{cut.end + 1, s.end})
			}
		}
		out = next
	}
	return out
}

// String prints the sum as Mesos prints resources.
func (s amounts) String() string {
	if len(s) == 0 {
		return "{}"
	}
	parts := make([]string, len(s))
	for i, a := range s {
		parts[i] = a.String()
	}
	return strings.Join(parts, "; ")
}

// revocable gives the revocable resources, or the others.
func (s amounts) revocable(want bool) amounts {
	var part amounts
	for _, a := range s {
		if (a.kind.Revocable != nil) == want {
			part = append(part, a)
		}
	}
	return part
}
