package validation

import (
	"math"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

// source checks an operator's reservation of what is reserved already: the same amounts, and
// only the newest levels of the reservation differ.
func source(r *mesos.Offer_Operation_Reserve, in OperationScope) error {
	if len(r.GetSource()) == 0 {
		return nil
	}
	if err := operands(r.GetSource(), in); err != nil {
		return prefix("Invalid 'source': ", err)
	}
	before, err := resources.FromProto(r.GetSource())
	if err != nil {
		return prefix("Invalid 'source': ", invalid(err.Error()))
	}
	after, err := resources.FromProto(r.GetResources())
	if err != nil {
		return prefix("Invalid resources: ", invalid(err.Error()))
	}
	for _, one := range r.GetSource() {
		if one.GetDisk().GetPersistence() != nil {
			return invalid("A dynamically reserved persistent volume " + Describe(one) +
				" cannot be reserved again. Please destroy the persistent volume first")
		}
		if len(one.GetReservations()) > 0 && one.Reservations[0].GetType() == mesos.Resource_ReservationInfo_STATIC &&
			!sameRoot(one, r.GetResources()) {
			return invalid("The static reservation of " + Describe(one) + " cannot be changed")
		}
	}
	if !before.WithoutReservations().Equal(after.WithoutReservations()) {
		return invalid("The quantities of 'source' and 'resources' differ")
	}
	return nil
}

// sameRoot says whether a static reservation is at the bottom of what takes its place, too.
func sameRoot(source *mesos.Resource, resources []*mesos.Resource) bool {
	for _, r := range resources {
		if r.GetName() == source.GetName() && (len(r.GetReservations()) == 0 || !proto.Equal(r.Reservations[0], source.Reservations[0])) {
			return false
		}
	}
	return true
}

func grow(op *mesos.Offer_Operation_GrowVolume, in OperationScope) error {
	const volume, addition = "'GrowVolume.volume'", "'GrowVolume.addition'"
	if err := resizable(op.GetVolume(), volume, "Growing", in); err != nil {
		return err
	}
	if math.Round(op.GetAddition().GetScalar().GetValue()*1000) <= 0 {
		return invalid("The size of " + addition + " field must be greater than zero")
	}
	if err := operands([]*mesos.Resource{op.GetAddition()}, in); err != nil {
		return prefix("Invalid resource in the "+addition+" field: ", err)
	}
	plain, err := resources.FromProto([]*mesos.Resource{op.GetVolume()})
	if err != nil {
		return invalid("Invalid resource in the " + volume + " field: " + err.Error())
	}
	more, err := resources.FromProto([]*mesos.Resource{op.GetAddition()})
	if err != nil {
		return invalid("Invalid resource in the " + addition + " field: " + err.Error())
	}
	if plain.WithoutVolumes().Add(more).Len() != 1 {
		return invalid("Incompatible resources in the " + volume + " and " + addition + " fields")
	}
	return nil
}

func shrink(op *mesos.Offer_Operation_ShrinkVolume, in OperationScope) error {
	if err := resizable(op.GetVolume(), "'ShrinkVolume.volume'", "Shrinking", in); err != nil {
		return err
	}
	by := math.Round(op.GetSubtract().GetValue() * 1000)
	switch {
	case !(by > 0):
		return invalid("The size of 'ShrinkVolume.subtract' field must be greater than zero")
	case by >= math.Round(op.GetVolume().GetScalar().GetValue()*1000):
		return invalid("The size of 'ShrinkVolume.subtract' field must be less than the size of 'ShrinkVolume.volume'")
	}
	return nil
}

// resizable checks the volume that is to grow or shrink.
func resizable(volume *mesos.Resource, field, doing string, in OperationScope) error {
	if volume == nil {
		return invalid("Expecting " + field + " to be present")
	}
	if err := operands([]*mesos.Resource{volume}, in); err != nil {
		return prefix("Invalid resource in the "+field+" field: ", err)
	}
	if volume.ProviderId != nil {
		return invalid(doing + " a volume from a resource provider is not supported")
	}
	if err := persistentVolumes([]*mesos.Resource{volume}); err != nil {
		return prefix("Invalid persistent volume in the "+field+" field: ", err)
	}
	p := volume.GetDisk().GetPersistence()
	switch source := volume.GetDisk().GetSource(); {
	case volume.Shared != nil:
		return invalid(doing + " a shared persistent volume is not supported")
	case source != nil && source.GetType() != mesos.Resource_DiskInfo_Source_PATH:
		return invalid(doing + " a persistent volume on a " + source.GetType().String() + " disk is not supported")
	case !in.VolumeExists(reservationRole(volume), p.GetId()):
		return invalid("Persistent volumes not found")
	case in.VolumeInUse(reservationRole(volume), p.GetId()):
		return invalid("Persistent volumes in use")
	case !in.Resize:
		return invalid("Volume " + Describe(volume) + " cannot be resized on an agent without RESIZE_VOLUME capability")
	}
	return nil
}

// onProvider checks the disk of CREATE_DISK or DESTROY_DISK, which only resource providers have.
func onProvider(disk *mesos.Resource) error {
	if disk.GetProviderId() == nil {
		return invalid("'source' is not managed by a resource provider")
	}
	return invalid("Resource provider " + disk.GetProviderId().GetValue() + " is not known: agents have no resource providers")
}
