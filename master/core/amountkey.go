package core

import (
	"fmt"
	"strconv"
	"strings"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/validation"
)

// upgraded turns the reservation format of old frameworks (role and reservation) into the
// stack of reservations. Everything inside the master uses the stack.
func upgraded(r *mesos.Resource) *mesos.Resource {
	if r.Role == nil && r.Reservation == nil {
		return r
	}
	up := &mesos.Resource{Name: r.Name, Type: r.Type, Scalar: r.Scalar, Ranges: r.Ranges, Set: r.Set, Disk: r.Disk,
		Revocable: r.Revocable, Shared: r.Shared, AllocationInfo: r.AllocationInfo, ProviderId: r.ProviderId,
		Reservations: r.Reservations}
	if len(r.Reservations) > 0 || r.GetRole() == "*" {
		return up
	}
	kind := mesos.Resource_ReservationInfo_STATIC
	if r.Reservation != nil {
		kind = mesos.Resource_ReservationInfo_DYNAMIC
	}
	up.Reservations = []*mesos.Resource_ReservationInfo{{Type: kind.Enum(), Role: ptr(r.GetRole()),
		Principal: principalOf(r), Labels: r.GetReservation().GetLabels()}}
	return up
}

// format writes resources as the framework reads them: without RESERVATION_REFINEMENT, in the
// format of role and reservation.
func (f *framework) format(resources []*mesos.Resource) []*mesos.Resource {
	if validation.HasCapability(f.rec.Info, mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT) {
		return resources
	}
	for _, r := range resources {
		r.Role = ptr("*")
		if n := len(r.Reservations); n > 0 {
			top := r.Reservations[n-1]
			r.Role = top.Role
			if top.GetType() == mesos.Resource_ReservationInfo_DYNAMIC {
				r.Reservation = &mesos.Resource_ReservationInfo{Principal: top.Principal, Labels: top.Labels}
			}
			r.Reservations = nil
		}
	}
	return resources
}

// keyOf names the kind of a resource: everything but its value, and but where a volume is
// mounted, which is the business of who uses it.
func keyOf(r *mesos.Resource) string {
	plain := r.Disk == nil && len(r.Reservations) == 0 && r.Revocable == nil && r.Shared == nil && r.ProviderId == nil
	if plain {
		return r.GetName() + "\x00" + strconv.Itoa(int(r.GetType())) + r.GetAllocationInfo().GetRole()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\x00%d\x00%s\x00%t\x00%t\x00%s", r.GetName(), r.GetType(), r.GetAllocationInfo().GetRole(),
		r.Revocable != nil, r.Shared != nil, r.GetProviderId().GetValue())
	for _, v := range r.GetReservations() {
		fmt.Fprintf(&b, "\x01%d\x00%s\x00%s", v.GetType(), v.GetRole(), v.GetPrincipal())
		for _, l := range v.GetLabels().GetLabels() {
			fmt.Fprintf(&b, "\x02%q%q", l.GetKey(), l.GetValue())
		}
	}
	if d := r.Disk; d != nil {
		fmt.Fprintf(&b, "\x03%t%s", d.Persistence != nil, d.GetPersistence().GetId())
		if s := d.Source; s != nil {
			fmt.Fprintf(&b, "\x04%d\x00%s\x00%s\x00%s\x00%s", s.GetType(), s.GetPath().GetRoot(), s.GetMount().GetRoot(),
				s.GetId(), s.GetProfile())
		}
	}
	return b.String()
}

// String prints the amount as Mesos prints a resource.
func (a amount) String() string { return validation.Describe(a.proto()) }

func principalOf(r *mesos.Resource) *string {
	if r.Reservation == nil {
		return nil
	}
	return r.Reservation.Principal
}
