package resources

import (
	"fmt"
	"slices"
	"strings"

	"agora.dev/agora/api/mesos/v1"
)

// kind is the type of an item's value.
type kind uint8

const (
	scalarKind kind = iota
	rangesKind
	setKind
)

// item is one amount of one name with one set of traits. Items are immutable.
type item struct {
	name   string
	traits *traits // nil: unreserved, not a volume, not revocable
	role   string  // that it is allocated to; empty: none
	kind   kind
	shared int32 // how often a shared item counts; 0: not shared
	milli  int64
	ranges Ranges
	set    []string // sorted
}

// traits are what keeps two amounts of one name apart.
type traits struct {
	key          string // equal keys: the amounts are of the same sort
	reservations []*mesos.Resource_ReservationInfo
	disk         *mesos.Resource_DiskInfo
	revocable    bool
	shared       bool
	whole        bool // it can be taken only as a whole
	provider     string
}

// newTraits computes the key; it returns nil for the traits of a plain amount.
func newTraits(t traits) *traits {
	if len(t.reservations) == 0 && t.disk == nil && !t.revocable && !t.shared && t.provider == "" {
		return nil
	}
	var b strings.Builder
	for _, r := range t.reservations {
		fmt.Fprintf(&b, "r%d%q", r.GetType(), r.GetRole())
		if r.Principal != nil {
			fmt.Fprintf(&b, "p%q", r.GetPrincipal())
		}
		if r.Labels != nil {
			writeLabels(&b, r.GetLabels())
		}
	}
	if t.disk != nil {
		writeDisk(&b, t.disk)
		t.whole = isWhole(t.disk)
	}
	fmt.Fprintf(&b, "f%t%t", t.revocable, t.shared)
	if t.provider != "" {
		fmt.Fprintf(&b, "v%q", t.provider)
	}
	t.key = b.String()
	return &t
}

func writeLabels(b *strings.Builder, labels *mesos.Labels) {
	texts := make([]string, 0, len(labels.GetLabels()))
	for _, l := range labels.GetLabels() {
		texts = append(texts, fmt.Sprintf("%q=%t%q", l.GetKey(), l.Value != nil, l.GetValue()))
	}
	slices.Sort(texts)
	fmt.Fprintf(b, "l%q", texts)
}

// writeDisk leaves the mount out: Mesos compares source and persistence only.
func writeDisk(b *strings.Builder, d *mesos.Resource_DiskInfo) {
	b.WriteByte('d')
	if p := d.GetPersistence(); p != nil {
		fmt.Fprintf(b, "i%q", p.GetId())
	}
	if s := d.GetSource(); s != nil {
		fmt.Fprintf(b, "s%d%q%q%q%q%q", s.GetType(), s.GetPath().GetRoot(), s.GetMount().GetRoot(),
			s.GetId(), s.GetProfile(), s.GetVendor())
		if s.Metadata != nil {
			writeLabels(b, s.GetMetadata())
		}
	}
}

// isWhole says whether such a disk is indivisible: a volume, a mount, a block device, or raw
// storage with an identity.
func isWhole(d *mesos.Resource_DiskInfo) bool {
	if d.GetPersistence() != nil {
		return true
	}
	switch s := d.GetSource(); s.GetType() {
	case mesos.Resource_DiskInfo_Source_MOUNT, mesos.Resource_DiskInfo_Source_BLOCK:
		return true
	case mesos.Resource_DiskInfo_Source_RAW:
		return s.GetId() != ""
	}
	return false
}

func (i *item) key() string {
	if i.traits == nil {
		return ""
	}
	return i.traits.key
}

// compareSort orders items by name, traits and allocation, not by amount.
func compareSort(a, b *item) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	if a.traits != b.traits {
		if c := strings.Compare(a.key(), b.key()); c != 0 {
			return c
		}
	}
	if c := strings.Compare(a.role, b.role); c != 0 {
		return c
	}
	return int(a.kind) - int(b.kind)
}

// compareItem orders the whole ones among each other by amount too.
func compareItem(a, b *item) int {
	if c := compareSort(a, b); c != 0 {
		return c
	}
	return int(min(max(a.milli-b.milli, -1), 1))
}

func (i *item) whole() bool     { return i.traits != nil && i.traits.whole }
func (i *item) isShared() bool  { return i.traits != nil && i.traits.shared }
func (i *item) revocable() bool { return i.traits != nil && i.traits.revocable }

func (i *item) reservations() []*mesos.Resource_ReservationInfo {
	if i.traits == nil {
		return nil
	}
	return i.traits.reservations
}

// reservationRole is the role at the top of the stack, or "" for none.
func (i *item) reservationRole() string {
	stack := i.reservations()
	if len(stack) == 0 {
		return ""
	}
	return stack[len(stack)-1].GetRole()
}

func (i *item) disk() *mesos.Resource_DiskInfo {
	if i.traits == nil {
		return nil
	}
	return i.traits.disk
}

func (i *item) empty() bool {
	switch i.kind {
	case scalarKind:
		return i.milli == 0
	case rangesKind:
		return len(i.ranges) == 0
	}
	return len(i.set) == 0
}

// merges says whether two items of one sort become one.
func (i *item) merges(other *item) bool {
	if i.isShared() {
		return i.milli == other.milli
	}
	return !i.whole()
}

// plus is the sum of two items that merge.
func (i item) plus(other *item) item {
	if i.isShared() {
		i.shared += other.shared
		return i
	}
	switch i.kind {
	case scalarKind:
		i.milli = addMilli(i.milli, other.milli)
	case rangesKind:
		i.ranges = i.ranges.Add(other.ranges)
	case setKind:
		i.set = unionSet(i.set, other.set)
	}
	return i
}

// holds says whether other, of the same sort, is part of i.
func (i *item) holds(other *item) bool {
	if i.isShared() {
		return i.milli == other.milli && i.shared >= other.shared
	}
	if i.whole() {
		return i.milli == other.milli
	}
	switch i.kind {
	case scalarKind:
		return i.milli >= other.milli
	case rangesKind:
		return i.ranges.Contains(other.ranges)
	}
	return containsSet(i.set, other.set)
}

// minus is i without other, which it holds; gone when nothing is left.
func (i item) minus(other *item) (left item, gone bool) {
	if i.isShared() {
		i.shared -= other.shared
		return i, i.shared <= 0
	}
	if i.whole() {
		return i, true
	}
	switch i.kind {
	case scalarKind:
		i.milli -= other.milli
	case rangesKind:
		i.ranges = i.ranges.Sub(other.ranges)
	case setKind:
		i.set = subSet(i.set, other.set)
	}
	return i, i.empty()
}
