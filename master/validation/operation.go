package validation

import (
	"slices"
	"strings"

	"agora.dev/agora/api/mesos/v1"
)

// OperationScope answers what an operation's validity depends on beside itself.
type OperationScope struct {
	// Info is the framework's, nil for an operator; Principal the authenticated identity, or empty.
	Info      *mesos.FrameworkInfo
	Principal string
	// Where ends each text, as Mesos names the agent in it.
	Where string
	// Resize says whether the agent can grow and shrink volumes.
	Resize bool
	// VolumeExists and VolumeInUse look for a volume on the agent: a persistence id is one for
	// each role.
	VolumeExists func(role, id string) bool
	VolumeInUse  func(role, id string) bool
}

// Operation checks an offer operation that launches nothing.
func Operation(op *mesos.Offer_Operation, in OperationScope) error {
	err := operation(op, in)
	if err == nil {
		return nil
	}
	return invalid(err.Error() + in.Where)
}

func operation(op *mesos.Offer_Operation, in OperationScope) error {
	switch op.GetType() {
	case mesos.Offer_Operation_RESERVE:
		return reserve(op.GetReserve(), in)
	case mesos.Offer_Operation_UNRESERVE:
		return unreserve(op.GetUnreserve(), in)
	case mesos.Offer_Operation_CREATE:
		return create(op.GetCreate(), in)
	case mesos.Offer_Operation_DESTROY:
		return destroy(op.GetDestroy(), in)
	case mesos.Offer_Operation_GROW_VOLUME:
		return grow(op.GetGrowVolume(), in)
	case mesos.Offer_Operation_SHRINK_VOLUME:
		return shrink(op.GetShrinkVolume(), in)
	case mesos.Offer_Operation_CREATE_DISK:
		return onProvider(op.GetCreateDisk().GetSource())
	case mesos.Offer_Operation_DESTROY_DISK:
		return onProvider(op.GetDestroyDisk().GetSource())
	}
	return invalidf("Operation %s is not supported", op.GetType())
}

func reserve(r *mesos.Offer_Operation_Reserve, in OperationScope) error {
	if len(r.GetSource()) > 0 && in.Info != nil {
		return invalid("Reserve operations of frameworks must not have a 'source'")
	}
	if err := operands(r.GetResources(), in); err != nil {
		return err
	}
	for _, resource := range r.GetResources() {
		if err := reserved(resource, in); err != nil {
			return err
		}
	}
	if in.Info == nil {
		return source(r, in)
	}
	return prefix("Invalid reservation resources: ", oneRole(r.GetResources()))
}

func reserved(r *mesos.Resource, in OperationScope) error {
	if !dynamic(r) {
		return invalid("Resource " + Describe(r) + " is not dynamically reserved")
	}
	if in.Principal != "" {
		innermost := r.Reservations[len(r.Reservations)-1]
		if innermost.Principal == nil {
			return invalidf("A reserve operation was attempted by principal '%s', but there is a"+
				" reserved resource in the request with no principal set", in.Principal)
		}
		if innermost.GetPrincipal() != in.Principal {
			return invalidf("A reserve operation was attempted by authenticated principal '%s', which does not match a"+
				" reserved resource in the request with principal '%s'", in.Principal, innermost.GetPrincipal())
		}
	}
	if in.Info == nil {
		return nil
	}
	role, allocated := reservationRole(r), r.GetAllocationInfo().GetRole()
	if allocated != role {
		return invalidf("A reserve operation was attempted for a resource with role '%s', but the resource was"+
			" allocated to role '%s'", role, allocated)
	}
	if roles := Roles(in.Info); !slices.Contains(roles, allocated) {
		return invalidf("A reserve operation was attempted for a resource allocated to role '%s', but the framework"+
			" only has roles '{ %s }'", allocated, strings.Join(roles, ", "))
	}
	return nil
}

func unreserve(u *mesos.Offer_Operation_Unreserve, in OperationScope) error {
	if err := operands(u.GetResources(), in); err != nil {
		return err
	}
	for _, r := range u.GetResources() {
		if !dynamic(r) {
			return invalid("Resource " + Describe(r) + " is not dynamically reserved")
		}
		if r.GetDisk().GetPersistence() != nil {
			return invalid("A dynamically reserved persistent volume " + Describe(r) +
				" cannot be unreserved directly. Please destroy the persistent volume first then unreserve the resource")
		}
	}
	return nil
}

func create(op *mesos.Offer_Operation_Create, in OperationScope) error {
	if err := operands(op.GetVolumes(), in); err != nil {
		return err
	}
	if err := persistentVolumes(op.GetVolumes()); err != nil {
		return prefix("Not a persistent volume: ", err)
	}
	if err := uniquePersistence(op.GetVolumes()); err != nil {
		return err
	}
	for _, v := range op.GetVolumes() {
		p := v.GetDisk().GetPersistence()
		if in.VolumeExists(reservationRole(v), p.GetId()) {
			return invalid("Persistence ID '" + p.GetId() + "' is not unique")
		}
		if v.Shared != nil && in.Info != nil && !HasCapability(in.Info, mesos.FrameworkInfo_Capability_SHARED_RESOURCES) {
			return invalid("Create volume operation has been attempted by framework with no SHARED_RESOURCES capability")
		}
		if in.Principal != "" && p.GetPrincipal() != in.Principal {
			return invalidf("Create volume operation has been attempted by principal '%s', but there is a volume in the"+
				" operation with principal '%s' set in `DiskInfo.Persistence`", in.Principal, p.GetPrincipal())
		}
	}
	return nil
}

func destroy(op *mesos.Offer_Operation_Destroy, in OperationScope) error {
	if err := operands(op.GetVolumes(), in); err != nil {
		return err
	}
	if err := persistentVolumes(op.GetVolumes()); err != nil {
		return prefix("Not a persistent volume: ", err)
	}
	for _, v := range op.GetVolumes() {
		if !in.VolumeExists(reservationRole(v), v.GetDisk().GetPersistence().GetId()) {
			return invalid("Persistent volumes not found")
		}
	}
	for _, v := range op.GetVolumes() {
		if in.VolumeInUse(reservationRole(v), v.GetDisk().GetPersistence().GetId()) {
			return invalid("Persistent volumes in use")
		}
	}
	return nil
}

// operands checks what an operation works on.
func operands(resources []*mesos.Resource, in OperationScope) error {
	if len(resources) == 0 {
		return invalid("Invalid resources: Resource cannot be empty")
	}
	for _, r := range resources {
		if in.Info == nil && r.AllocationInfo != nil {
			return invalid("Invalid resources: Resource " + Describe(r) + " must not be allocated to a role")
		}
	}
	if err := Resources(resources); err != nil {
		return prefix("Invalid resources: ", err)
	}
	for _, r := range resources {
		if r.GetProviderId().GetValue() != resources[0].GetProviderId().GetValue() {
			return invalid("Invalid resources: The resources have multiple resource providers")
		}
	}
	return nil
}

func persistentVolumes(volumes []*mesos.Resource) error {
	for _, v := range volumes {
		switch {
		case v.Disk == nil:
			return invalid("Resource " + Describe(v) + " does not have DiskInfo")
		case v.GetDisk().GetPersistence() == nil:
			return invalid("'persistence' is not set in DiskInfo")
		case v.GetDisk().GetVolume() == nil:
			return invalid("Expecting 'volume' to be set for persistent volume")
		case v.GetDisk().GetVolume().GetMode() == mesos.Volume_RO:
			return invalid("Read-only persistent volume not supported")
		}
	}
	return nil
}
