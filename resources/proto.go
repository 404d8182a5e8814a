package resources

import (
	"errors"
	"fmt"
	"slices"

	"agora.dev/agora/api/mesos/v1"
)

// FromProto validates and normalises wire resources of either reservation format. Amounts
// that round to nothing are dropped.
func FromProto(wire []*mesos.Resource) (Resources, error) {
	items := make([]item, 0, len(wire))
	for _, one := range wire {
		i, err := fromWire(one)
		if err != nil {
			return Resources{}, fmt.Errorf("Resource '%s' is invalid: %w", describe(one), err)
		}
		items = append(items, i)
	}
	return collect(items), nil
}

// describe prints a wire resource that may be invalid.
func describe(wire *mesos.Resource) string {
	switch {
	case wire.GetType() == mesos.Value_SCALAR && wire.Scalar != nil:
		return fmt.Sprintf("%s:%v", wire.GetName(), wire.GetScalar().GetValue())
	case wire.GetType() == mesos.Value_RANGES:
		all := make(Ranges, 0, len(wire.GetRanges().GetRange()))
		for _, r := range wire.GetRanges().GetRange() {
			all = append(all, Range{r.GetBegin(), r.GetEnd()})
		}
		return wire.GetName() + ":" + all.String()
	case wire.GetType() == mesos.Value_SET:
		return wire.GetName() + ":" + formatSet(wire.GetSet().GetItem())
	}
	return wire.GetName()
}

func fromWire(wire *mesos.Resource) (item, error) {
	i := item{name: wire.GetName(), role: wire.GetAllocationInfo().GetRole()}
	if i.name == "" {
		return i, errors.New("Empty resource name")
	}
	if err := readValue(&i, wire); err != nil {
		return i, err
	}
	stack, err := readReservations(wire)
	if err != nil {
		return i, err
	}
	if err := checkDisk(wire); err != nil {
		return i, err
	}
	if wire.Revocable != nil && len(stack) > 0 && stack[len(stack)-1].GetType() == mesos.Resource_ReservationInfo_DYNAMIC {
		return i, fmt.Errorf("Dynamically reserved resource %s cannot be created from revocable resources", describe(wire))
	}
	if wire.Shared != nil {
		i.shared = 1
	}
	i.traits = newTraits(traits{reservations: stack, disk: wire.Disk, revocable: wire.Revocable != nil,
		shared: wire.Shared != nil, provider: wire.GetProviderId().GetValue()})
	return i, nil
}

func readValue(i *item, wire *mesos.Resource) error {
	switch wire.GetType() {
	case mesos.Value_SCALAR:
		if wire.Type == nil || wire.Scalar == nil || wire.Ranges != nil || wire.Set != nil {
			return errors.New("Invalid scalar resource")
		}
		milli, err := Milli(wire.GetScalar().GetValue())
		i.kind, i.milli = scalarKind, milli
		return err
	case mesos.Value_RANGES:
		if wire.Scalar != nil || wire.Ranges == nil || wire.Set != nil {
			return errors.New("Invalid ranges resource")
		}
		all := make([]Range, 0, len(wire.GetRanges().GetRange()))
		for _, r := range wire.GetRanges().GetRange() {
			if r.GetBegin() > r.GetEnd() {
				return errors.New("Invalid ranges resource: begin > end")
			}
			all = append(all, Range{r.GetBegin(), r.GetEnd()})
		}
		i.kind, i.ranges = rangesKind, NewRanges(all...)
		return nil
	case mesos.Value_SET:
		if wire.Scalar != nil || wire.Ranges != nil || wire.Set == nil {
			return errors.New("Invalid set resource")
		}
		i.kind, i.set = setKind, unionSet(nil, wire.GetSet().GetItem())
		if len(i.set) != len(wire.GetSet().GetItem()) {
			return errors.New("Invalid set resource: duplicated elements")
		}
		return nil
	}
	return errors.New("Unsupported resource type")
}

// readReservations reads the stack, in the format before refinement too.
func readReservations(wire *mesos.Resource) ([]*mesos.Resource_ReservationInfo, error) {
	stack := wire.GetReservations()
	role := wire.GetRole()
	if len(stack) == 0 {
		switch old := wire.GetReservation(); {
		case old == nil && (wire.Role == nil || role == "*"):
			return nil, nil
		case old != nil && (wire.Role == nil || role == "*"):
			return nil, errors.New("Invalid reservation: role \"*\" cannot be dynamically reserved")
		case old != nil:
			stack = []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(),
				Role: &role, Principal: old.Principal, Labels: old.Labels}}
		default:
			stack = []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_STATIC.Enum(), Role: &role}}
		}
	}
	return stack, checkStack(stack)
}

func checkStack(stack []*mesos.Resource_ReservationInfo) error {
	for n, r := range stack {
		if err := CheckRole(r.GetRole()); err != nil {
			return fmt.Errorf("Invalid reservation role: %w", err)
		}
		if r.GetRole() == "*" {
			return errors.New("Invalid reservation: role \"*\" cannot be reserved")
		}
		if r.GetType() == mesos.Resource_ReservationInfo_UNKNOWN {
			return errors.New("Invalid reservation: type is not set")
		}
		if n == 0 {
			continue
		}
		if r.GetType() == mesos.Resource_ReservationInfo_STATIC {
			return errors.New("Invalid reservation: a refined reservation cannot be STATIC")
		}
		if !IsAncestorRole(stack[n-1].GetRole(), r.GetRole()) {
			return fmt.Errorf("Invalid reservation: '%s' is not a refinement of '%s'", r.GetRole(), stack[n-1].GetRole())
		}
	}
	return nil
}

func checkDisk(wire *mesos.Resource) error {
	switch {
	case wire.Disk != nil && wire.GetName() != "disk":
		return fmt.Errorf("DiskInfo should not be set for %s resource", wire.GetName())
	case wire.Disk != nil && wire.GetType() != mesos.Value_SCALAR:
		return errors.New("DiskInfo should be set for scalar resources only")
	case wire.Disk.GetSource() != nil && wire.Disk.GetSource().GetType() == mesos.Resource_DiskInfo_Source_UNKNOWN:
		return errors.New("Unsupported 'DiskInfo.Source.Type' in disk resource")
	case wire.Shared != nil && wire.Disk.GetPersistence() == nil:
		return errors.New("Only persistent volumes can be shared")
	}
	return nil
}

// Proto is the wire form with the stack of reservations. A shared amount appears once for
// each time it counts. The messages may share parts and must not be changed.
func (r Resources) Proto() []*mesos.Resource {
	wire := make([]*mesos.Resource, 0, len(r.items))
	for n := range r.items {
		one := r.items[n].wire()
		wire = append(wire, one)
		for extra := int32(1); extra < r.items[n].shared; extra++ {
			wire = append(wire, one)
		}
	}
	return wire
}

// OldProto is the wire form before reservation refinement: one role, and one reservation at
// most. It fails for refined resources.
func (r Resources) OldProto() ([]*mesos.Resource, error) {
	wire := r.Proto()
	for n, one := range wire {
		if len(one.Reservations) > 1 {
			return nil, fmt.Errorf("downgrade resource %s: it has refined reservations", one.GetName())
		}
		wire[n] = old(one)
		wire[n].Reservations = nil
	}
	return wire, nil
}

// EndpointProto is the wire form of HTTP answers: both formats at once where both can say it.
func (r Resources) EndpointProto() []*mesos.Resource {
	wire := r.Proto()
	for n, one := range wire {
		if len(one.Reservations) < 2 {
			wire[n] = old(one)
		}
	}
	return wire
}

// old adds the fields of the old format to a copy.
func old(one *mesos.Resource) *mesos.Resource {
	role := "*"
	with := &mesos.Resource{Name: one.Name, Type: one.Type, Scalar: one.Scalar, Ranges: one.Ranges, Set: one.Set,
		Role: &role, Disk: one.Disk, Revocable: one.Revocable, Shared: one.Shared,
		AllocationInfo: one.AllocationInfo, ProviderId: one.ProviderId, Reservations: one.Reservations}
	if len(one.Reservations) == 0 {
		return with
	}
	top := one.Reservations[0]
	role = top.GetRole()
	if top.GetType() == mesos.Resource_ReservationInfo_DYNAMIC {
		with.Reservation = &mesos.Resource_ReservationInfo{Principal: top.Principal, Labels: top.Labels}
	}
	return with
}

func (i *item) wire() *mesos.Resource {
	one := &mesos.Resource{Name: &i.name}
	switch i.kind {
	case scalarKind:
		value := Float(i.milli)
		one.Type, one.Scalar = mesos.Value_SCALAR.Enum(), &mesos.Value_Scalar{Value: &value}
	case rangesKind:
		one.Type, one.Ranges = mesos.Value_RANGES.Enum(), &mesos.Value_Ranges{}
		for n := range i.ranges {
			one.Ranges.Range = append(one.Ranges.Range, &mesos.Value_Range{Begin: &i.ranges[n].Begin, End: &i.ranges[n].End})
		}
	case setKind:
		one.Type, one.Set = mesos.Value_SET.Enum(), &mesos.Value_Set{Item: slices.Clone(i.set)}
	}
	if i.role != "" {
		one.AllocationInfo = &mesos.Resource_AllocationInfo{Role: &i.role}
	}
	if t := i.traits; t != nil {
		one.Reservations, one.Disk = t.reservations, t.disk
		if t.revocable {
			one.Revocable = &mesos.Resource_RevocableInfo{}
		}
		if t.shared {
			one.Shared = &mesos.Resource_SharedInfo{}
		}
		if t.provider != "" {
			one.ProviderId = &mesos.ResourceProviderID{Value: &t.provider}
		}
	}
	return one
}
