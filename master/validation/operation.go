package validation

import (
	"slices"
	"strings"

	"agora.dev/agora/api/mesos/v1"
)

// OperationScope answers what an operation's validity depends on beside itself.
type OperationScope struct {
	// Info is the framework's; Principal its authenticated identity, or empty.
	Info      *mesos.FrameworkInfo
	Principal string
	// Where ends each text, as Mesos names the agent in it.
	Where        string
	VolumeExists func(id string) bool
	VolumeInUse  func(id string) bool
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
		return unreserve(op.GetUnreserve())
	case mesos.Offer_Operation_CREATE:
		return create(op.GetCreate(), in)
	case mesos.Offer_Operation_DESTROY:
		return destroy(op.GetDestroy(), in)
	}
	return invalidf("Operation %s is not supported", op.GetType())
}

func reserve(r *mesos.Offer_Operation_Reserve, in OperationScope) error {
	if len(r.GetSource()) > 0 {
		return invalid("Reserve operations of frameworks must not have a 'source'")
	}
	if err := operands(r.GetResources()); err != nil {
		return err
	}
	for _, resource := range r.GetResources() {
		if err := reserved(resource, in); err != nil {
			return err
		}
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

func unreserve(u *mesos.Offer_Operation_Unreserve) error {
	if err := operands(u.GetResources()); err != nil {
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
	if err := operands(op.GetVolumes()); err != nil {
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
		if in.VolumeExists(p.GetId()) {
			return invalid("Persistence ID '" + p.GetId() + "' is not unique")
		}
		if v.Shared != nil && !HasCapability(in.Info, mesos.FrameworkInfo_Capability_SHARED_RESOURCES) {
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
	if err := operands(op.GetVolumes()); err != nil {
		return err
	}
	if err := persistentVolumes(op.GetVolumes()); err != nil {
		return prefix("Not a persistent volume: ", err)
	}
	for _, v := range op.GetVolumes() {
		if in.VolumeInUse(v.GetDisk().GetPersistence().GetId()) {
			return invalid("Persistent volumes in use")
		}
	}
	return nil
}

// operands checks what an operation works on.
func operands(resources []*mesos.Resource) error {
	if len(resources) == 0 {
		return invalid("Invalid resources: Resource cannot be empty")
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
