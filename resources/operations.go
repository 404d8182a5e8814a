package resources

import (
	"fmt"

	"agora.dev/agora/api/mesos/v1"
)

// Apply carries out RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME or SHRINK_VOLUME on r, as
// the master does before the agent has confirmed. Launches leave r as it is.
func (r Resources) Apply(operation *mesos.Offer_Operation) (Resources, error) {
	from, to, err := Conversion(operation)
	if err != nil {
		return r, err
	}
	left, ok := r.Sub(from)
	if !ok {
		return r, fmt.Errorf("%s does not contain %s", r, from)
	}
	return left.Add(to), nil
}

// Conversion says what an operation consumes and what it makes of it; nothing for launches.
func Conversion(operation *mesos.Offer_Operation) (from, to Resources, err error) {
	switch operation.GetType() {
	case mesos.Offer_Operation_LAUNCH, mesos.Offer_Operation_LAUNCH_GROUP:
		return from, to, nil
	case mesos.Offer_Operation_RESERVE:
		return reserve(operation.GetReserve())
	case mesos.Offer_Operation_UNRESERVE:
		from, err = FromProto(operation.GetUnreserve().GetResources())
		if err == nil {
			to, err = from.PopReservation()
		}
		return from, to, err
	case mesos.Offer_Operation_CREATE:
		to, err = FromProto(operation.GetCreate().GetVolumes())
		return to.WithoutVolumes(), to, err
	case mesos.Offer_Operation_DESTROY:
		from, err = FromProto(operation.GetDestroy().GetVolumes())
		return from, from.WithoutVolumes(), err
	case mesos.Offer_Operation_GROW_VOLUME:
		return grow(operation.GetGrowVolume())
	case mesos.Offer_Operation_SHRINK_VOLUME:
		return shrink(operation.GetShrinkVolume())
	}
	return from, to, fmt.Errorf("operation %s cannot be applied speculatively", operation.GetType())
}

// reserve consumes the source where the operator named one, else one level less.
func reserve(op *mesos.Offer_Operation_Reserve) (from, to Resources, err error) {
	if to, err = FromProto(op.GetResources()); err != nil {
		return from, to, err
	}
	if len(op.GetSource()) > 0 {
		from, err = FromProto(op.GetSource())
		return from, to, err
	}
	from, err = to.PopReservation()
	return from, to, err
}

// retrait makes new traits for each item and merges the result.
func (r Resources) retrait(change func(*traits)) Resources {
	changed := make([]item, len(r.items))
	for i := range r.items {
		changed[i] = r.items[i]
		var t traits
		if changed[i].traits != nil {
			t = *changed[i].traits
		}
		change(&t)
		t.key, t.whole = "", false
		changed[i].traits = newTraits(t)
		switch {
		case !t.shared:
			changed[i].shared = 0
		case changed[i].shared == 0:
			changed[i].shared = 1
		}
	}
	return collect(changed)
}

// PushReservation puts one more level on everything.
func (r Resources) PushReservation(info *mesos.Resource_ReservationInfo) (Resources, error) {
	for i := range r.items {
		stack := append(r.items[i].reservations()[:len(r.items[i].reservations()):len(r.items[i].reservations())], info)
		if err := checkStack(stack); err != nil {
			return r, err
		}
	}
	return r.retrait(func(t *traits) {
		t.reservations = append(t.reservations[:len(t.reservations):len(t.reservations)], info)
	}), nil
}

// PopReservation takes the newest level off everything.
func (r Resources) PopReservation() (Resources, error) {
	for i := range r.items {
		stack := r.items[i].reservations()
		if len(stack) == 0 || stack[len(stack)-1].GetType() != mesos.Resource_ReservationInfo_DYNAMIC {
			return r, fmt.Errorf("resource %s is not dynamically reserved", Resources{r.items[i : i+1]})
		}
	}
	return r.retrait(func(t *traits) { t.reservations = t.reservations[:len(t.reservations)-1] }), nil
}

// WithoutVolumes is r with the disk that its volumes are made of in their place.
func (r Resources) WithoutVolumes() Resources {
	return r.retrait(func(t *traits) {
		t.shared = false
		if t.disk == nil {
			return
		}
		if t.disk.Source == nil {
			t.disk = nil
			return
		}
		t.disk = &mesos.Resource_DiskInfo{Source: t.disk.Source}
	})
}

// WithoutReservations is r as if nobody had reserved any of it.
func (r Resources) WithoutReservations() Resources {
	return r.retrait(func(t *traits) { t.reservations = nil })
}

func grow(op *mesos.Offer_Operation_GrowVolume) (from, to Resources, err error) {
	volume, err := FromProto([]*mesos.Resource{op.GetVolume()})
	if err != nil {
		return from, to, err
	}
	addition, err := FromProto([]*mesos.Resource{op.GetAddition()})
	if err != nil {
		return from, to, err
	}
	return volume.Add(addition), volume.resized(addition.Scalar("disk")), nil
}

func shrink(op *mesos.Offer_Operation_ShrinkVolume) (from, to Resources, err error) {
	volume, err := FromProto([]*mesos.Resource{op.GetVolume()})
	if err != nil {
		return from, to, err
	}
	less, err := Milli(op.GetSubtract().GetValue())
	if err != nil {
		return from, to, err
	}
	if less >= volume.Scalar("disk") {
		return from, to, fmt.Errorf("volume %s cannot shrink by %s", volume, formatMilli(less))
	}
	freed := volume.WithoutVolumes().Scale(func(string, int64) int64 { return less })
	return volume, volume.resized(-less).Add(freed), nil
}

func (r Resources) resized(by int64) Resources {
	changed := make([]item, len(r.items))
	for i := range r.items {
		changed[i] = r.items[i]
		changed[i].milli += by
	}
	return Resources{changed}
}
