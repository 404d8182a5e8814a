package validation

import (
	"math"

	"agora.dev/agora/api/mesos/v1"
)

// maxScalar keeps sums of thousandths inside 64 bits.
const maxScalar = 1e12

// Resources checks each resource by itself.
func Resources(resources []*mesos.Resource) error {
	for _, r := range resources {
		if err := value(r); err != nil {
			return prefix("Resource '"+Describe(r)+"' is invalid: ", err)
		}
		if err := reservations(r); err != nil {
			return prefix("Resource '"+Describe(r)+"' is invalid: ", err)
		}
	}
	if gpus, set := scalar(resources, "gpus"); set && gpus != math.Trunc(gpus) {
		return invalid("Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer")
	}
	for _, r := range resources {
		if err := disk(r); err != nil {
			return prefix("Invalid DiskInfo: ", err)
		}
		if dynamic(r) && r.Revocable != nil {
			return invalid("Invalid ReservationInfo: Dynamically reserved resource " + Describe(r) +
				" cannot be created from revocable resources")
		}
	}
	return nil
}

func value(r *mesos.Resource) error {
	if r.GetName() == "" {
		return invalid("Empty resource name")
	}
	switch r.GetType() {
	case mesos.Value_SCALAR:
		v := r.GetScalar().GetValue()
		switch {
		case r.Scalar == nil || r.Ranges != nil || r.Set != nil:
			return invalid("Invalid scalar resource")
		case math.IsNaN(v) || math.IsInf(v, 0) || v > maxScalar:
			return invalid("Invalid scalar resource: value is not finite or too large")
		case math.Round(v*1000) <= 0:
			return invalid("Invalid scalar resource: value <= 0")
		}
	case mesos.Value_RANGES:
		if r.Ranges == nil || r.Scalar != nil || r.Set != nil {
			return invalid("Invalid ranges resource")
		}
		return ranges(r.GetRanges().GetRange())
	case mesos.Value_SET:
		if r.Set == nil || r.Scalar != nil || r.Ranges != nil {
			return invalid("Invalid set resource")
		}
		seen := map[string]bool{}
		for _, item := range r.GetSet().GetItem() {
			if seen[item] {
				return invalid("Invalid set resource: duplicated elements")
			}
			seen[item] = true
		}
	default:
		return invalid("Unsupported resource type")
	}
	return nil
}

func ranges(list []*mesos.Value_Range) error {
	for i, r := range list {
		if r.GetBegin() > r.GetEnd() {
			return invalid("Invalid ranges resource: begin > end")
		}
		for _, s := range list[:i] {
			if r.GetBegin() <= s.GetEnd() && s.GetBegin() <= r.GetEnd() {
				return invalid("Invalid ranges resource: overlapping ranges")
			}
		}
	}
	return nil
}

func reservations(r *mesos.Resource) error {
	if r.Role != nil && r.GetRole() != "*" {
		if err := Role(r.GetRole()); err != nil {
			return err
		}
	}
	for i, v := range r.GetReservations() {
		switch {
		case v.GetType() == mesos.Resource_ReservationInfo_UNKNOWN:
			return invalid("Unsupported 'Resource.ReservationInfo.type'")
		case v.GetType() == mesos.Resource_ReservationInfo_STATIC && i > 0:
			return invalid("A refined reservation cannot be static")
		case v.Role == nil:
			return invalid("Invalid reservation: 'role' must be set")
		case v.GetRole() == "*":
			return invalid("Invalid reservation: role \"*\" cannot be reserved")
		}
		if err := Role(v.GetRole()); err != nil {
			return prefix("Invalid reservation: ", err)
		}
		if i > 0 && !below(v.GetRole(), r.GetReservations()[i-1].GetRole()) {
			return invalidf("Role '%s' does not refine role '%s'", v.GetRole(), r.GetReservations()[i-1].GetRole())
		}
	}
	return nil
}

// below says whether role is inside the subtree of ancestor, and not ancestor itself.
func below(role, ancestor string) bool {
	return len(role) > len(ancestor)+1 && role[:len(ancestor)] == ancestor && role[len(ancestor)] == '/'
}

func dynamic(r *mesos.Resource) bool {
	n := len(r.GetReservations())
	return n > 0 && r.Reservations[n-1].GetType() == mesos.Resource_ReservationInfo_DYNAMIC
}

// reservationRole is the role of the innermost reservation.
func reservationRole(r *mesos.Resource) string {
	if n := len(r.GetReservations()); n > 0 {
		return r.Reservations[n-1].GetRole()
	}
	return "*"
}

func disk(r *mesos.Resource) error {
	d := r.Disk
	switch {
	case d == nil:
		return nil
	case d.Persistence == nil && d.Volume != nil:
		return invalid("Non-persistent volume not supported")
	case d.Persistence == nil && d.Source == nil:
		return invalid("DiskInfo is set but empty")
	case d.Persistence == nil:
		return nil
	case r.Revocable != nil:
		return invalid("Persistent volumes cannot be created from revocable resources")
	case len(r.Reservations) == 0:
		return invalid("Persistent volumes cannot be created from unreserved resources")
	case d.Volume == nil:
		return invalid("Expecting 'volume' to be set for persistent volume")
	case d.Volume.HostPath != nil:
		return invalid("Expecting 'host_path' to be unset for persistent volume")
	}
	return prefix("Invalid persistence ID for persistent volume: ", ID(d.GetPersistence().GetId()))
}

// consistent checks the resources of one task or executor against each other.
func consistent(resources []*mesos.Resource, subject, word string) error {
	if err := uniquePersistence(resources); err != nil {
		return prefix(subject+" uses duplicate persistence ID: ", err)
	}
	if err := oneRole(resources); err != nil {
		return prefix("Invalid "+word+" resources: ", err)
	}
	if err := notMixed(resources); err != nil {
		return prefix(subject+" mixes revocable and non-revocable resources: ", err)
	}
	return nil
}

// together checks the resources of a task and its executor against each other.
func together(resources []*mesos.Resource, duplicate, mixed string) error {
	if err := uniquePersistence(resources); err != nil {
		return prefix(duplicate, err)
	}
	return prefix(mixed, notMixed(resources))
}

func uniquePersistence(resources []*mesos.Resource) error {
	seen := map[string]bool{}
	for _, r := range resources {
		p := r.GetDisk().GetPersistence()
		if p == nil {
			continue
		}
		key := reservationRole(r) + "\x00" + p.GetId()
		if seen[key] && r.Shared == nil {
			return invalid("Persistence ID '" + p.GetId() + "' is not unique")
		}
		seen[key] = true
	}
	return nil
}

func oneRole(resources []*mesos.Resource) error {
	for _, r := range resources {
		if r.GetAllocationInfo() == nil || r.AllocationInfo.Role == nil {
			return invalid("The resources are not allocated to a role")
		}
		if role, first := r.GetAllocationInfo().GetRole(), resources[0].GetAllocationInfo().GetRole(); role != first {
			return invalidf("The resources have multiple allocation roles ('%s' and '%s')"+
				" but only one allocation role is allowed", role, first)
		}
	}
	return nil
}

func notMixed(resources []*mesos.Resource) error {
	kinds := map[string]bool{}
	for _, r := range resources {
		kind, seen := kinds[r.GetName()]
		if seen && kind != (r.Revocable != nil) {
			return invalidf("Cannot use both revocable and non-revocable '%s' at the same time", r.GetName())
		}
		kinds[r.GetName()] = r.Revocable != nil
	}
	return nil
}
