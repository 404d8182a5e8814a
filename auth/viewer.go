package auth

import (
	"fmt"
	"slices"

	"agora.dev/agora/api/mesos/v1"
)

// Viewer is what one principal may see. It is a value of the ACLs and the principal: a stream keeps the
// one that it began with.
type Viewer struct {
	acls *ACLs
	who  *Principal
	all  bool
}

// Viewer makes the viewer of answers that are filtered by these actions.
func (l *ACLs) Viewer(who *Principal, actions ...Action) Viewer {
	v := Viewer{acls: l, who: who, all: true}
	for _, action := range actions {
		v.all = v.all && l.AllowsAll(who, action)
	}
	return v
}

// All says that nothing has to be looked at, because everything may be seen.
func (v Viewer) All() bool { return v.all }

// Key tells the principal of a viewer from all others.
func (v Viewer) Key() string {
	if v.who == nil {
		return "nobody"
	}
	return fmt.Sprintf("%q %q", v.who.Value, v.who.Claims) // the claims in the order of their names
}

// May asks about one object.
func (v Viewer) May(action Action, object Object) bool { return v.acls.Allows(v.who, action, object) }

// Framework may be seen by who may see its user.
func (v Viewer) Framework(info *mesos.FrameworkInfo) bool {
	return v.May(ViewFramework, FrameworkUser(info))
}

// Task may be seen by who may see its user.
func (v Viewer) Task(task *mesos.Task, owner *mesos.FrameworkInfo) bool {
	return v.May(ViewTask, TaskUser(task, owner))
}

// Role may be seen by who may see it by name.
func (v Viewer) Role(name string) bool { return v.May(ViewRole, Of(name)) }

// Resource may be seen by who may see the roles that it is reserved for and allocated to.
func (v Viewer) Resource(r *mesos.Resource) bool {
	for _, reservation := range r.GetReservations() {
		if !v.Role(reservation.GetRole()) {
			return false
		}
	}
	if r.Role != nil && !v.Role(r.GetRole()) {
		return false
	}
	return r.AllocationInfo == nil || v.Role(r.GetAllocationInfo().GetRole())
}

// Resources are those of a list that may be seen.
func (v Viewer) Resources(list []*mesos.Resource) []*mesos.Resource { return Kept(list, v.Resource) }

// Operation may be seen by who may see the roles of the resources that it works on.
func (v Viewer) Operation(op *mesos.Offer_Operation) bool {
	return !slices.ContainsFunc(operands(op), func(r *mesos.Resource) bool { return !v.Resource(r) })
}

// operands are the resources that an operation works on.
func operands(op *mesos.Offer_Operation) []*mesos.Resource {
	all := slices.Concat(op.GetReserve().GetResources(), op.GetUnreserve().GetResources(), op.GetCreate().GetVolumes(), op.GetDestroy().GetVolumes())
	for _, one := range []*mesos.Resource{op.GetGrowVolume().GetVolume(), op.GetGrowVolume().GetAddition(), op.GetShrinkVolume().GetVolume(),
		op.GetCreateDisk().GetSource(), op.GetDestroyDisk().GetSource()} {
		if one != nil {
			all = append(all, one)
		}
	}
	return all
}

// Kept gives the elements that may be seen, and the same list when all may.
func Kept[T any](list []T, see func(T) bool) []T {
	if !slices.ContainsFunc(list, func(one T) bool { return !see(one) }) {
		return list
	}
	out := make([]T, 0, len(list))
	for _, one := range list {
		if see(one) {
			out = append(out, one)
		}
	}
	return out
}
