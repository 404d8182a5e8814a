package matcher

import (
	"fmt"
	"slices"

	marathon "agora.dev/agora/api/marathon/v2"
	mesos "agora.dev/agora/api/mesos/v1"
	"google.golang.org/protobuf/proto"
)

// The reasons for refusing an offer, in the order in which Marathon checks.
const (
	UnfulfilledRole       = "UnfulfilledRole"
	UnfulfilledConstraint = "UnfulfilledConstraint"
	InsufficientCpus      = "InsufficientCpus"
	InsufficientMemory    = "InsufficientMemory"
	InsufficientDisk      = "InsufficientDisk"
	InsufficientGpus      = "InsufficientGpus"
	InsufficientPorts     = "InsufficientPorts"
)

// Reasons lists them in that order.
var Reasons = []string{UnfulfilledRole, UnfulfilledConstraint, "NoCorrespondingReservationFound", "AgentMaintenance",
	InsufficientCpus, InsufficientMemory, InsufficientDisk, InsufficientGpus, InsufficientPorts, "DeclinedScarceResources"}

// Refusal is one reason with the figures.
type Refusal struct{ Reason, Detail string }

// Match is what was taken.
type Match struct {
	Resources []*mesos.Resource
	Ports     []int
}

// Take matches the offer, and takes what one instance needs when nothing is refused. The
// search for free ports begins at portHint.
func Take(app *marathon.App, role string, offer *Offer, placed []Placed, portHint int) (*Match, []Refusal) {
	accepted := app.AcceptedResourceRoles
	if len(accepted) == 0 {
		accepted = []string{"*", role}
	}
	usable := func(r *mesos.Resource) bool { return slices.Contains(accepted, roleOf(r)) }
	refusals := explain(app, offer, placed, usable)
	ports, fits := choosePorts(app, offer, usable, portHint)
	if !fits {
		refusals = append(refusals, Refusal{InsufficientPorts, fmt.Sprintf("wants %s", portsText(app))})
	}
	if len(refusals) > 0 {
		return nil, refusals
	}
	match := &Match{}
	for _, need := range needs(app) {
		match.Resources = append(match.Resources, takeScalar(offer, need.name, need.milli, usable)...)
	}
	match.Ports, match.Resources = takePorts(ports, match.Resources)
	return match, nil
}

type need struct {
	name, reason string
	milli        int64
}

func needs(app *marathon.App) []need {
	return []need{{"cpus", InsufficientCpus, milli(app.CPUs)}, {"mem", InsufficientMemory, milli(app.Mem)},
		{"disk", InsufficientDisk, milli(app.Disk)}, {"gpus", InsufficientGpus, int64(app.GPUs) * 1000}}
}

func explain(app *marathon.App, offer *Offer, placed []Placed, usable func(*mesos.Resource) bool) []Refusal {
	var refusals []Refusal
	anyUsable := false
	for _, s := range offer.scalars {
		anyUsable = anyUsable || usable(s.of)
	}
	if !anyUsable {
		refusals = append(refusals, Refusal{UnfulfilledRole, "no resource of an accepted role"})
	}
	for _, c := range app.Constraints {
		if why := constraint(c, offer, placed); why != "" {
			refusals = append(refusals, Refusal{UnfulfilledConstraint, why})
		}
	}
	for _, n := range needs(app) {
		var have int64
		for _, s := range offer.scalars {
			if s.of.GetName() == n.name && usable(s.of) {
				have += s.milli
			}
		}
		if have < n.milli {
			refusals = append(refusals, Refusal{n.reason, fmt.Sprintf("wants %g %s, offered %g",
				float64(n.milli)/1000, n.name, float64(have)/1000)})
		}
	}
	return refusals
}

// takeScalar takes reserved resources first, so that unreserved ones are left for others.
func takeScalar(offer *Offer, name string, want int64, usable func(*mesos.Resource) bool) []*mesos.Resource {
	var taken []*mesos.Resource
	for _, reserved := range []bool{true, false} {
		for _, s := range offer.scalars {
			if s.of.GetName() != name || !usable(s.of) || (roleOf(s.of) != "*") != reserved {
				continue
			}
			amount := min(want, s.milli)
			if amount <= 0 {
				continue
			}
			s.milli -= amount
			want -= amount
			part := like(s.of)
			part.Scalar = &mesos.Value_Scalar{Value: proto.Float64(float64(amount) / 1000)}
			taken = append(taken, part)
		}
	}
	return taken
}

// chosen is a port and where it is taken from; nil when it is taken already, for another
// protocol.
type chosen struct {
	port int
	from *portRange
}

func choosePorts(app *marathon.App, offer *Offer, usable func(*mesos.Resource) bool, hint int) ([]chosen, bool) {
	wanted := app.HostPorts()
	all, picked := make([]chosen, len(wanted)), map[int]bool{}
	free := func(r *portRange, port int) bool {
		return port >= r.begin && port <= r.end && !r.taken[port] && !picked[port] && usable(r.of)
	}
	find := func(index, low, high int) bool {
		for _, r := range offer.ports {
			for port := max(r.begin, low); port <= min(r.end, high); port++ {
				if free(r, port) {
					picked[port] = true
					all[index] = chosen{port, r}
					return true
				}
			}
		}
		return false
	}
	// Those that are named first, so that no other takes them.
	for i, port := range wanted {
		switch {
		case port == 0:
		case picked[port]:
			all[i].port = port
		case !find(i, port, port):
			return nil, false
		}
	}
	for i, port := range wanted {
		if port == 0 && !find(i, hint, 65535) && !find(i, 1, hint-1) {
			return nil, false
		}
	}
	return all, true
}

func takePorts(ports []chosen, resources []*mesos.Resource) ([]int, []*mesos.Resource) {
	numbers := []int{}
	for _, c := range ports {
		numbers = append(numbers, c.port)
		if c.from == nil {
			continue
		}
		c.from.taken[c.port] = true
		part := like(c.from.of)
		part.Ranges = &mesos.Value_Ranges{Range: []*mesos.Value_Range{
			{Begin: proto.Uint64(uint64(c.port)), End: proto.Uint64(uint64(c.port))}}}
		resources = append(resources, part)
	}
	return numbers, resources
}

func portsText(app *marathon.App) string {
	wanted := app.HostPorts()
	named := slices.DeleteFunc(slices.Clone(wanted), func(port int) bool { return port == 0 })
	if len(named) == 0 {
		return fmt.Sprintf("%d ports", len(wanted))
	}
	return fmt.Sprintf("%d ports, %v among them", len(wanted), named)
}
