package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	agentcore "agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/core"
	"agora.dev/agora/resources"
)

// Invariant 8: reservations and volumes are never lost, and never handed to another role.

// volumesOf are the ids of the volumes among resources.
func volumesOf(list []*mesos.Resource) map[string]bool {
	ids := map[string]bool{}
	for _, r := range list {
		if id := r.GetDisk().GetPersistence().GetId(); id != "" {
			ids[id] = true
		}
	}
	return ids
}

// resourcesWritten checks what becomes of an agent's volumes on disk: each is there until its end was
// asked for, and the data goes with it.
func (c *checker) resourcesWritten(a *agentNode, before []*mesos.Resource, write agentcore.WriteResources) {
	now, removed := volumesOf(write.Resources), volumesOf(write.Removing)
	for _, id := range slices.Sorted(maps.Keys(volumesOf(before))) {
		if now[id] {
			continue
		}
		v := c.volume(id)
		if v == nil || !v.doomed {
			c.w.fail("invariant 8: %s loses volume %s, and nobody asked for that", a.host, id)
		}
		if !removed[id] {
			c.w.fail("invariant 8: %s forgets volume %s and keeps its data", a.host, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(removed)) {
		if now[id] {
			c.w.fail("invariant 8: %s removes the data of volume %s, which it has", a.host, id)
		}
	}
}

// volume finds what the framework that made a volume knows of it.
func (c *checker) volume(id string) *simVolume {
	for _, f := range c.w.frameworks {
		if f.keeper != nil && f.keeper.volumes[id] != nil {
			return f.keeper.volumes[id]
		}
	}
	return nil
}

// volumesUsed checks the volumes of a container that is launched: the agent has them, and they are
// the framework's own.
func (c *checker) volumesUsed(a *agentNode, m agentcore.LaunchContainer) {
	have := volumesOf(a.disk.state.Resources)
	for _, id := range slices.Sorted(maps.Keys(volumesOf(m.Spec.Resources))) {
		owner, _, _ := strings.Cut(id, ".")
		if user, _, _ := strings.Cut(string(m.Task), "."); m.Task != "" && user != owner {
			c.w.fail("invariant 8: task %s is launched on volume %s of %s", m.Task, id, owner)
		}
		if !have[id] {
			c.w.fail("invariant 8: %s launches task %s on volume %s, which it does not have", a.host, m.Task, id)
		}
	}
}

// offersOfRoles checks that what is reserved is offered to its role only.
func (c *checker) offersOfRoles(snapshot *core.Snapshot) {
	for offer := range snapshot.Offers.All() {
		role := offer.Info.GetAllocationInfo().GetRole()
		for _, r := range offer.Info.GetResources() {
			for _, reservation := range r.GetReservations() {
				if reservation.GetRole() != role {
					c.w.fail("invariant 8: disk of role %s is offered to role %s", reservation.GetRole(), role)
				}
			}
		}
	}
}

// volumesAgree compares what the leader, the agents' disks and the frameworks say.
func (c *checker) volumesAgree(snapshot *core.Snapshot) error {
	totals := map[string][]*mesos.Resource{}
	for agent := range snapshot.Agents.All() {
		totals[agent.Info.GetHostname()] = agent.Total
	}
	onDisk := map[string]bool{}
	for _, a := range c.w.agents {
		maps.Copy(onDisk, volumesOf(a.disk.state.Resources))
		kept, err := resources.FromProto(a.disk.state.Resources)
		if err != nil {
			return fmt.Errorf("%s has written resources that are not valid: %w", a.host, err)
		}
		total, err := resources.FromProto(totals[string(a.host)])
		if err != nil {
			return fmt.Errorf("the total of %s is not valid: %w", a.host, err)
		}
		if !total.Checkpointed().Equal(kept) {
			return fmt.Errorf("invariant 8: %s has %s, and the leader believes %s", a.host, kept, total.Checkpointed())
		}
		if n := len(a.disk.state.Operations); n > 0 && !c.orphaned(a) {
			return fmt.Errorf("%s has %d operations without acknowledgement", a.host, n)
		}
	}
	for _, f := range c.w.frameworks {
		if f.keeper != nil {
			if err := f.keeper.agrees(onDisk); err != nil {
				return err
			}
		}
	}
	return nil
}

// orphaned says whether an operation of an agent is that of a framework that was torn down: the master
// acknowledges those, but after the agent's next word only.
func (c *checker) orphaned(a *agentNode) bool {
	for _, op := range a.disk.state.Operations {
		for _, f := range c.w.frameworks {
			if f.removed && f.id.GetValue() == op.GetFrameworkId().GetValue() {
				return true
			}
		}
	}
	return false
}

func (k *keeper) agrees(onDisk map[string]bool) error {
	for _, id := range slices.Sorted(maps.Keys(k.operations)) {
		if o := k.operations[id]; !o.settled() && !k.f.removed {
			return fmt.Errorf("operation %s is %v for %s", id, o.state, k.f.host)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(k.volumes)) {
		switch v := k.volumes[id]; {
		case v.made && !v.doomed && !onDisk[id]:
			return fmt.Errorf("invariant 8: volume %s of %s is lost", id, k.f.host)
		case v.gone && onDisk[id]:
			return fmt.Errorf("invariant 8: volume %s of %s was destroyed, and is there", id, k.f.host)
		}
	}
	return nil
}
