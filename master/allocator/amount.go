package allocator

import (
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

// amount is how much of one kind: a scalar in thousandths, ranges (nil: none), or items. Sorted,
// without overlap.
type amount struct {
	scalar int64
	ranges *ranges
	items  []string
}

func (a amount) empty() bool { return a.scalar <= 0 && a.ranges == nil && len(a.items) == 0 }

// kind is what resources must have in common to be added up: everything but the amount
// and the allocation.
type kind struct {
	key string
	// template has the identity, without amount and allocation.
	template *mesos.Resource
	name     string
	scalar   int // index among the scalars, or -1
	// role is that of the innermost reservation; "" when unreserved.
	role      string
	refined   bool
	revocable bool
	shared    bool
	whole     bool // an indivisible disk
}

// portion is an amount of a kind.
type portion struct {
	kind   *kind
	amount amount
}

// kinds interns identities, and numbers the scalar names.
type kinds struct {
	byKey   map[string]*kind
	scalars map[string]int
	names   []string
}

func newKinds() *kinds { return &kinds{byKey: map[string]*kind{}, scalars: map[string]int{}} }

// portions reads resources of the protocol.
func (k *kinds) portions(resources []*mesos.Resource) []portion {
	out := make([]portion, 0, len(resources))
	for _, r := range resources {
		p := portion{kind: k.of(r), amount: read(r)}
		if p.kind == nil || p.amount.empty() {
			continue
		}
		if at := slices.IndexFunc(out, func(o portion) bool { return o.kind == p.kind }); at >= 0 {
			out[at].amount = out[at].amount.plus(p.amount)
			continue
		}
		out = append(out, p)
	}
	return out
}

// of finds the kind of a resource.
func (k *kinds) of(r *mesos.Resource) *kind {
	key := r.GetName()
	plain := len(r.Reservations) == 0 && r.Disk == nil && r.Revocable == nil && r.Shared == nil && r.ProviderId == nil &&
		(r.Role == nil || r.GetRole() == "*") && r.Reservation == nil
	if !plain {
		key += "\x00" + identity(r)
	}
	if known := k.byKey[key]; known != nil {
		return known
	}
	made := k.normal(key, r)
	k.byKey[key] = made
	return made
}

// normal makes the kind of a resource, whichever of the two reservation formats it came in;
// nil for one that is no valid resource.
func (k *kinds) normal(key string, r *mesos.Resource) *kind {
	read, err := resources.FromProto([]*mesos.Resource{r})
	if err != nil || read.IsEmpty() {
		return nil
	}
	r = strip(read.Proto()[0])
	if canonical := identity(r); k.byKey[canonical] != nil {
		return k.byKey[canonical]
	}
	made := &kind{key: key, template: r, name: r.GetName(), scalar: -1,
		revocable: r.Revocable != nil, shared: r.Shared != nil, refined: len(r.Reservations) > 1}
	switch r.GetDisk().GetSource().GetType() {
	case mesos.Resource_DiskInfo_Source_MOUNT, mesos.Resource_DiskInfo_Source_BLOCK, mesos.Resource_DiskInfo_Source_RAW:
		made.whole = true
	}
	if n := len(r.Reservations); n > 0 {
		made.role = r.Reservations[n-1].GetRole()
	}
	if r.GetType() == mesos.Value_SCALAR {
		made.scalar = k.index(r.GetName())
	}
	k.byKey[identity(r)] = made
	return made
}

// plain says whether a kind counts for quota limits and headroom: scalars that are neither
// reserved nor revocable.
func (k *kind) plain() bool { return k.scalar >= 0 && k.role == "" && !k.revocable }

// index numbers a scalar's name.
func (k *kinds) index(name string) int {
	if i, ok := k.scalars[name]; ok {
		return i
	}
	i := len(k.names)
	k.scalars[name] = i
	k.names = append(k.names, name)
	return i
}

func strip(r *mesos.Resource) *mesos.Resource {
	out := proto.CloneOf(r)
	out.Scalar, out.Ranges, out.Set, out.AllocationInfo = nil, nil, nil, nil
	return out
}

// identity leaves out where a volume is mounted, and who made it: Mesos compares neither.
func identity(r *mesos.Resource) string {
	plain := strip(r)
	if p := plain.GetDisk().GetPersistence(); p != nil {
		plain.Disk.Volume, p.Principal = nil, nil
	}
	data, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(plain)
	if err != nil {
		return r.String()
	}
	return string(data)
}

func read(r *mesos.Resource) (a amount) {
	a.scalar = milli(r.GetScalar().GetValue())
	if wire := r.GetRanges().GetRange(); len(wire) > 0 {
		spans := make([]span, 0, len(wire))
		for _, x := range wire {
			spans = append(spans, span{x.GetBegin(), x.GetEnd()})
		}
		a.ranges = rangesOf(normal(spans))
	}
	if items := r.GetSet().GetItem(); len(items) > 0 {
		a.items = slices.Compact(slices.Sorted(slices.Values(items)))
	}
	return a
}

// milli is a scalar on the grid of thousandths, as Mesos rounds it.
func milli(v float64) int64 { return int64(math.Round(v * 1000)) }

// wireResource is a resource with its parts in one piece of memory.
type wireResource struct {
	resource mesos.Resource
	scalar   mesos.Value_Scalar
	value    float64
}

// proto writes portions as allocated. The messages share parts with each other, and must not
// be changed.
func protos(portions []portion, info *mesos.Resource_AllocationInfo) []*mesos.Resource {
	wire := make([]wireResource, len(portions))
	out := make([]*mesos.Resource, len(portions))
	for i := range portions {
		p, w := &portions[i], &wire[i]
		r := &w.resource
		p.kind.describe(r, info)
		switch r.GetType() {
		case mesos.Value_SCALAR:
			w.value = float64(p.amount.scalar) / 1000
			w.scalar.Value = &w.value
			r.Scalar = &w.scalar
		case mesos.Value_RANGES:
			r.Ranges = p.amount.ranges.proto()
		case mesos.Value_SET:
			r.Set = &mesos.Value_Set{Item: p.amount.items}
		}
		out[i] = r
	}
	return out
}

// reallocated says the same portions of another role.
func reallocated(portions []portion, said []*mesos.Resource, info *mesos.Resource_AllocationInfo) []*mesos.Resource {
	wire := make([]mesos.Resource, len(said))
	out := make([]*mesos.Resource, len(said))
	for i, s := range said {
		r := &wire[i]
		portions[i].kind.describe(r, info)
		r.Scalar, r.Ranges, r.Set = s.Scalar, s.Ranges, s.Set
		out[i] = r
	}
	return out
}

// describe writes all but the amount.
func (k *kind) describe(r *mesos.Resource, info *mesos.Resource_AllocationInfo) {
	t := k.template
	r.Name, r.Type, r.ProviderId, r.Reservations = t.Name, t.Type, t.ProviderId, t.Reservations
	r.Disk, r.Revocable, r.Shared, r.AllocationInfo = t.Disk, t.Revocable, t.Shared, info
}

func (a amount) plus(b amount) amount {
	out := amount{scalar: a.scalar + b.scalar, ranges: a.ranges, items: a.items}
	switch {
	case a.ranges == nil:
		out.ranges = b.ranges
	case b.ranges != nil:
		out.ranges = rangesOf(normal(slices.Concat(a.ranges.spans, b.ranges.spans)))
	}
	if len(b.items) > 0 {
		out.items = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(a.items), b.items...))))
	}
	return out
}

// minus takes b away; what a does not have is ignored for ranges and items.
func (a amount) minus(b amount) amount {
	out := amount{scalar: a.scalar - b.scalar, ranges: a.ranges, items: a.items}
	if a.ranges != nil && b.ranges != nil {
		out.ranges = a.ranges.minus(b.ranges)
	}
	if len(b.items) > 0 {
		out.items = slices.DeleteFunc(slices.Clone(a.items), func(item string) bool { return slices.Contains(b.items, item) })
	}
	return out
}

// contains reports whether b is all of it in a.
func (a amount) contains(b amount) bool {
	if b.scalar > a.scalar || !a.ranges.contain(b.ranges) {
		return false
	}
	return !slices.ContainsFunc(b.items, func(item string) bool { return !slices.Contains(a.items, item) })
}

// within reports whether role is at or below ancestor in the tree of roles.
func within(role, ancestor string) bool {
	return role == ancestor || strings.HasPrefix(role, ancestor) && role[len(ancestor)] == '/'
}
