package httpapi

import (
	"maps"
	"math"
	"slices"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/core"
	"google.golang.org/protobuf/proto"
)

// quantities are scalar amounts by name, in thousandths.
type quantities map[string]int64

func (q quantities) add(resources []*mesos.Resource) {
	for _, r := range resources {
		q.addAs(r.GetName(), r)
	}
}

func (q quantities) addAs(name string, r *mesos.Resource) {
	if r.GetType() == mesos.Value_SCALAR {
		q[name] += int64(math.Round(r.GetScalar().GetValue() * 1000))
	}
}

func (q quantities) plus(other quantities) quantities {
	sum := maps.Clone(q)
	for name, amount := range other {
		sum[name] += amount
	}
	return sum
}

func (q quantities) names() []string { return slices.Sorted(maps.Keys(q)) }

func (q quantities) value(name string) float64 { return float64(q[name]) / 1000 }

// holding is what a task or an executor has allocated, and where.
type holding struct {
	agent     string
	resources []*mesos.Resource
}

// holdings are the tasks that are not at an end, and the executors, of a framework.
func holdings(framework *core.Framework) []holding {
	var list []holding
	for task := range framework.Tasks.All() {
		if !core.Terminal(task.State) {
			list = append(list, holding{task.Base.GetAgentId().GetValue(), task.Base.Resources})
		}
	}
	for executor := range framework.Executors.All() {
		list = append(list, holding{string(executor.Agent), executor.Info.Resources})
	}
	return list
}

// sumResources adds scalars that differ in nothing but their value; all else is listed.
func sumResources(list []*mesos.Resource) []*mesos.Resource {
	var sums []*mesos.Resource
next:
	for _, r := range list {
		if r.GetType() == mesos.Value_SCALAR {
			for _, sum := range sums {
				if alike(sum, r) {
					value := math.Round((sum.GetScalar().GetValue()+r.GetScalar().GetValue())*1000) / 1000
					sum.Scalar = &mesos.Value_Scalar{Value: &value}
					continue next
				}
			}
		}
		sums = append(sums, proto.CloneOf(r))
	}
	return sums
}

func alike(a, b *mesos.Resource) bool {
	return a.GetType() == b.GetType() && a.GetName() == b.GetName() && (a.Revocable == nil) == (b.Revocable == nil) &&
		a.GetAllocationInfo().GetRole() == b.GetAllocationInfo().GetRole() &&
		len(a.Reservations) == len(b.Reservations) && roleOf(a) == roleOf(b) &&
		proto.Equal(a.Disk, b.Disk) && slices.EqualFunc(a.Reservations, b.Reservations,
		func(x, y *mesos.Resource_ReservationInfo) bool { return proto.Equal(x, y) })
}

// roleOf is the role that a resource is reserved for, "*" when it is not.
func roleOf(r *mesos.Resource) string {
	if n := len(r.Reservations); n > 0 {
		return r.Reservations[n-1].GetRole()
	}
	if role := r.GetRole(); role != "" {
		return role
	}
	return "*"
}

// endpointResources writes reservations in both of their formats, the old one beside the new,
// as queries show them.
func endpointResources(list []*mesos.Resource) []*mesos.Resource {
	out := make([]*mesos.Resource, 0, len(list))
	for _, r := range list {
		r = proto.CloneOf(r)
		role := roleOf(r)
		r.Role = &role
		if n := len(r.Reservations); n > 0 && r.Reservations[n-1].GetType() == mesos.Resource_ReservationInfo_DYNAMIC {
			last := r.Reservations[n-1]
			r.Reservation = &mesos.Resource_ReservationInfo{Principal: last.Principal, Labels: last.Labels}
		}
		out = append(out, r)
	}
	return out
}

func allocationRole(r *mesos.Resource) string {
	if role := r.GetAllocationInfo().GetRole(); role != "" {
		return role
	}
	return "*"
}

// frameworkRoles are a framework's roles, whichever way it names them.
func frameworkRoles(info *mesos.FrameworkInfo) []string {
	for _, c := range info.Capabilities {
		if c.GetType() == mesos.FrameworkInfo_Capability_MULTI_ROLE {
			return info.Roles
		}
	}
	if info.GetRole() != "" {
		return []string{info.GetRole()}
	}
	return []string{"*"}
}
