package resources

import (
	"fmt"

	"agora.dev/agora/api/mesos/v1"
)

// Checkpointed is what an agent must write down because it did not begin with it: dynamic
// reservations and persistent volumes.
func (r Resources) Checkpointed() Resources {
	return r.filter(func(i *item) bool { return i.dynamic() || i.disk().GetPersistence() != nil })
}

// WithCheckpointed is what an agent has that began with r and wrote down checkpointed: the
// reservations and volumes take the place of what they were made of. It fails when r does not
// contain that.
func (r Resources) WithCheckpointed(checkpointed Resources) (Resources, error) {
	base := checkpointed.WithoutVolumes().retrait(func(t *traits) {
		for n := len(t.reservations); n > 0 && t.reservations[n-1].GetType() == mesos.Resource_ReservationInfo_DYNAMIC; n-- {
			t.reservations = t.reservations[:n-1]
		}
	})
	left, ok := r.Sub(base)
	if !ok {
		return r, fmt.Errorf("%s does not contain %s", r, base)
	}
	return left.Add(checkpointed), nil
}

func (i *item) dynamic() bool {
	stack := i.reservations()
	return len(stack) > 0 && stack[len(stack)-1].GetType() == mesos.Resource_ReservationInfo_DYNAMIC
}
