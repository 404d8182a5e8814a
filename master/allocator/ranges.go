package allocator

import (
	"cmp"
	"slices"

	"agora.dev/agora/api/mesos/v1"
)

// span is an inclusive range.
type span struct{ begin, end uint64 }

// ranges are spans in order and apart, at least one. They never change, so that many amounts share
// them, and with them the message that is made when it is first asked for.
type ranges struct {
	spans []span
	wire  *mesos.Value_Ranges
}

// rangesOf takes over normal spans.
func rangesOf(spans []span) *ranges {
	if len(spans) == 0 {
		return nil
	}
	return &ranges{spans: spans}
}

func (r *ranges) proto() *mesos.Value_Ranges {
	if r == nil {
		return &mesos.Value_Ranges{}
	}
	if r.wire == nil {
		wire, list := make([]mesos.Value_Range, len(r.spans)), make([]*mesos.Value_Range, len(r.spans))
		for i := range r.spans {
			wire[i].Begin, wire[i].End = &r.spans[i].begin, &r.spans[i].end
			list[i] = &wire[i]
		}
		r.wire = &mesos.Value_Ranges{Range: list}
	}
	return r.wire
}

// minus leaves out what is not in r.
func (r *ranges) minus(o *ranges) *ranges {
	if r == o {
		return nil
	}
	return rangesOf(cut(r.spans, o.spans))
}

// contain reports whether o is all of it in r.
func (r *ranges) contain(o *ranges) bool {
	if o == nil || r == o {
		return true
	}
	if r == nil {
		return false
	}
	i := 0
	for _, want := range o.spans {
		for i < len(r.spans) && r.spans[i].end < want.begin {
			i++
		}
		if i == len(r.spans) || want.begin < r.spans[i].begin || want.end > r.spans[i].end {
			return false
		}
	}
	return true
}

// normal sorts ranges and joins those that touch.
func normal(spans []span) []span {
	if len(spans) < 2 {
		return spans
	}
	byBegin := func(a, b span) int { return cmp.Compare(a.begin, b.begin) }
	if !slices.IsSortedFunc(spans, byBegin) {
		slices.SortFunc(spans, byBegin)
	}
	out := spans[:1]
	for _, s := range spans[1:] {
		last := &out[len(out)-1]
		if s.begin <= last.end || s.begin-1 == last.end {
			last.end = max(last.end, s.end)
			continue
		}
		out = append(out, s)
	}
	return out
}

// cut removes the ranges without from from; both are normal.
func cut(from, without []span) []span {
	if len(without) == 0 || len(from) == 0 {
		return from
	}
	if slices.Equal(from, without) {
		return nil
	}
	var out []span
	i := 0
	for _, s := range from {
		for i < len(without) && without[i].end < s.begin {
			i++
		}
		for j := i; j < len(without) && without[j].begin <= s.end; j++ {
			if without[j].begin > s.begin {
				out = append(out, span{s.begin, without[j].begin - 1})
			}
			if without[j].end >= s.end {
				s.begin = s.end + 1
				break
			}
			s.begin = without[j].end + 1
		}
		if s.begin <= s.end {
			out = append(out, s)
		}
	}
	return out
}
