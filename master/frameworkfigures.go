package master

import (
	"fmt"
	"slices"
	"strings"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/core"
	"agora.dev/agora/master/validation"
)

// frameworkFigures are the figures of each framework that is listed, completed ones too, under the
// name with which it first came. Mesos docs/monitoring.md, "Frameworks".
func frameworkFigures(snapshot *core.Snapshot, states tally, emit func(string, float64)) {
	for f := range snapshot.Frameworks.All() {
		oneFramework(f, states.of(f), emit)
	}
	for f := range snapshot.CompletedFrameworks.All() {
		oneFramework(f, states.of(f), emit)
	}
}

func oneFramework(f *core.Framework, active map[mesos.TaskState]int, emit func(string, float64)) {
	prefix := "master/frameworks/" + percentEncoded(f.FirstName) + "/" + string(f.ID) + "/"
	subscribed := 0.0
	if f.Connected {
		subscribed = 1
	}
	emit(prefix+"subscribed", subscribed)
	n := &f.Counters
	total(emit, prefix+"calls", scheduler.Call_Type_name, func(kind int32) (uint64, bool) {
		return n.Calls[kind], kind != int32(scheduler.Call_UNKNOWN)
	})
	total(emit, prefix+"events", scheduler.Event_Type_name, func(kind int32) (uint64, bool) {
		return n.Events[kind], kind != int32(scheduler.Event_UNKNOWN)
	})
	total(emit, prefix+"operations", mesos.Offer_Operation_Type_name, func(kind int32) (uint64, bool) {
		return n.Operations[kind], kind != int32(mesos.Offer_Operation_UNKNOWN)
	})
	for name, value := range map[string]uint64{"sent": n.OffersSent, "accepted": n.OffersAccepted, "declined": n.OffersDeclined, "rescinded": n.OffersRescinded} {
		emit(prefix+"offers/"+name, float64(value))
	}
	for _, role := range validation.Roles(f.Info) {
		suppressed := 0.0
		if slices.Contains(f.SuppressedRoles, role) {
			suppressed = 1
		}
		emit(prefix+"roles/"+role+"/suppressed", suppressed)
	}
	for number, name := range mesos.TaskState_name {
		if state := mesos.TaskState(number); core.Terminal(state) {
			emit(prefix+"tasks/terminal/"+strings.ToLower(name), float64(n.Terminal[number]))
		} else {
			emit(prefix+"tasks/active/"+strings.ToLower(name), float64(active[state]))
		}
	}
}

// tally keeps how many tasks of a framework its agents have, or had when they were last heard of, by state: counting them is
// most of the work of a round.
type tally map[*core.Framework]map[mesos.TaskState]int

func (t tally) of(f *core.Framework) map[mesos.TaskState]int {
	states := t[f]
	if states == nil {
		states = map[mesos.TaskState]int{mesos.TaskState_TASK_UNREACHABLE: f.UnreachableTasks.Len()}
		for task := range f.Tasks.All() {
			states[task.State]++
		}
		t[f] = states
	}
	return states
}

// total emits the counts of an enumeration's values, and their sum.
func total(emit func(string, float64), prefix string, names map[int32]string, count func(int32) (n uint64, shown bool)) {
	var sum uint64
	for kind, name := range names {
		if n, shown := count(kind); shown {
			sum += n
			emit(prefix+"/"+strings.ToLower(name), float64(n))
		}
	}
	emit(prefix, float64(sum))
}

// percentEncoded is a name with all but unreserved characters as %XX (RFC 3986), as libprocess writes it.
func percentEncoded(name string) string {
	var out strings.Builder
	for i := range len(name) {
		c := name[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String()
}
