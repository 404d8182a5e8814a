package core

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/statusupdates"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/planted"
	"agora.dev/agora/resources"
)

// maxOperations bounds the operations without acknowledgement. Beyond it the oldest is
// forgotten: its framework left a thousand of them unanswered, and can reconcile.
const maxOperations = 1000

// rememberedOperations bounds the uuids kept to notice an order that came twice.
const rememberedOperations = 256

// operations are those that were carried out or refused, until their end is acknowledged.
type operations struct {
	pending []*operation // oldest first
	seen    [][]byte
	paused  bool
}

type operation struct {
	record *mesos.Operation // never changed
	at     time.Time        // when its status is sent next
	retry  time.Duration
}

// recoverResources takes over what was on disk.
func (c *Core) recoverResources(state *State) error {
	configured, err := resources.FromProto(c.config.Info.GetResources())
	if err != nil {
		return fmt.Errorf("resources of this agent: %w", err)
	}
	checkpointed, err := resources.FromProto(state.Resources)
	if planted.Active("agent-lose-volumes") {
		checkpointed = resources.Resources{}
	}
	if err == nil {
		c.total, err = configured.WithCheckpointed(checkpointed)
	}
	if err != nil {
		return fmt.Errorf("reservations and volumes on disk do not fit --resources: %w; start it as before, or with a fresh --work_dir", err)
	}
	if c.info.GetId() == nil {
		if len(state.Operations) > 0 {
			c.writeResources(nil) // they were those of another agent
		}
		return nil
	}
	for _, record := range state.Operations {
		c.operations.pending = append(c.operations.pending, &operation{record: record})
	}
	return nil
}

func (c *Core) checkpointed() []*mesos.Resource { return c.total.Checkpointed().Proto() }

// applyOperation changes the agent's resources. The order of an operation that a framework
// named is remembered with its end, and told until that is acknowledged.
func (c *Core) applyOperation(m *link.ApplyOperation) {
	uuid := m.GetOperationUuid().GetValue()
	if c.operations.known(uuid) {
		return
	}
	op := m.GetOperation()
	status := &mesos.OperationStatus{State: mesos.OperationState_OPERATION_FINISHED.Enum(), OperationId: op.GetId(),
		AgentId: c.info.GetId()}
	write, err := c.change(op)
	if err != nil {
		text := err.Error()
		status.State, status.Message = mesos.OperationState_OPERATION_DROPPED.Enum(), &text
		c.note("operation does not fit", "operation", op.GetType(), "reason", text)
	}
	record := &mesos.Operation{FrameworkId: m.GetFrameworkId(), AgentId: c.info.GetId(), Info: op,
		LatestStatus: status, Statuses: []*mesos.OperationStatus{status}, Uuid: m.GetOperationUuid()}
	if op.GetId() != nil {
		id := c.config.NewUUID()
		status.Uuid = &mesos.UUID{Value: id[:]}
		c.operations.add(record, c.now)
	}
	if err == nil || op.GetId() != nil {
		c.writeResources(write.Removing)
	}
	if op.GetId() == nil {
		c.tellOperation(record)
	}
	if err != nil {
		c.rejoin()
	}
}

// change carries an operation out on the agent's total, and says which volumes it removes.
func (c *Core) change(op *mesos.Offer_Operation) (write WriteResources, err error) {
	switch op.GetType() {
	case mesos.Offer_Operation_RESERVE, mesos.Offer_Operation_UNRESERVE, mesos.Offer_Operation_CREATE,
		mesos.Offer_Operation_DESTROY, mesos.Offer_Operation_GROW_VOLUME, mesos.Offer_Operation_SHRINK_VOLUME:
	default:
		return write, fmt.Errorf("operation %s is not supported by this agent", op.GetType())
	}
	from, to, err := resources.Conversion(op)
	if err != nil {
		return write, err
	}
	from, to = from.Unallocated(), to.Unallocated()
	left, ok := c.total.Sub(from)
	if !ok {
		return write, fmt.Errorf("%s does not contain %s", c.total, from)
	}
	c.total = left.Add(to)
	if op.GetType() == mesos.Offer_Operation_DESTROY {
		write.Removing = from.Proto()
	}
	return write, nil
}

func (c *Core) writeResources(removing []*mesos.Resource) {
	c.persist(WriteResources{Resources: c.checkpointed(), Operations: c.operations.records(), Removing: removing})
}

// rejoin ends the link: the master believes that this agent has something that it has not.
// With the next registration it learns what is so.
func (c *Core) rejoin() {
	c.send(Disconnect{Link: c.session.link})
	c.session.attempts = 0
	c.offline(0)
}

// hasResources says whether this agent has the reservations and volumes of tasks and of
// their executors.
func (c *Core) hasResources(tasks []*mesos.TaskInfo) bool {
	for _, t := range tasks {
		for _, list := range [][]*mesos.Resource{t.GetResources(), t.GetExecutor().GetResources()} {
			if !slices.ContainsFunc(list, made) {
				continue
			}
			used, err := resources.FromProto(list)
			if err != nil || !c.total.Contains(used.Unallocated().Checkpointed()) {
				return false
			}
		}
	}
	return true
}

func used(tasks []*mesos.TaskInfo) (all []*mesos.Resource) {
	for _, t := range tasks {
		all = append(all, t.GetResources()...)
	}
	return all
}

// made says whether a resource is, or may be, what an operation made.
func made(r *mesos.Resource) bool {
	return len(r.GetReservations()) > 0 || r.GetReservation() != nil || r.GetDisk() != nil
}

// persistent are the volumes among resources, as their containers see them.
func (c *Core) persistent(list []*mesos.Resource) (volumes []containerizer.PersistentVolume) {
	for _, r := range list {
		disk := r.GetDisk()
		if disk.GetPersistence() == nil || c.config.Volume == nil {
			continue
		}
		volumes = append(volumes, containerizer.PersistentVolume{
			ID: disk.GetPersistence().GetId(), Source: c.config.Volume(r), ContainerPath: disk.GetVolume().GetContainerPath(),
			ReadOnly: disk.GetVolume().GetMode() == mesos.Volume_RO, Shared: r.Shared != nil,
			Mount: disk.GetSource().GetType() == mesos.Resource_DiskInfo_Source_MOUNT,
		})
	}
	return volumes
}

func (c *Core) tellOperation(record *mesos.Operation) {
	c.toMaster(&link.FromAgent{Message: &link.FromAgent_OperationUpdate{OperationUpdate: &link.OperationUpdate{
		FrameworkId: record.GetFrameworkId(), AgentId: c.info.GetId(), OperationUuid: record.GetUuid(),
		Status: record.GetLatestStatus(), LatestStatus: record.GetLatestStatus(),
	}}})
}

// sendOperations tells, again and again, the ends that are not acknowledged.
func (c *Core) sendOperations() {
	if c.session.phase != joined {
		return
	}
	for _, o := range c.operations.pending {
		if o.at.After(c.now) {
			continue
		}
		o.retry = min(max(statusupdates.FirstRetry, 2*o.retry), statusupdates.LastRetry)
		o.at = c.now.Add(o.retry)
		c.tellOperation(o.record)
	}
}

func (c *Core) acknowledgeOperation(m *link.AcknowledgeOperation) {
	for i, o := range c.operations.pending {
		if bytes.Equal(o.record.GetUuid().GetValue(), m.GetOperationUuid().GetValue()) &&
			bytes.Equal(o.record.GetLatestStatus().GetUuid().GetValue(), m.GetStatusUuid().GetValue()) {
			c.operations.pending = append(c.operations.pending[:i:i], c.operations.pending[i+1:]...)
			c.writeResources(nil)
			return
		}
	}
	c.debug("acknowledgement of an operation ignored", "operation", m.GetOperationUuid().GetValue())
}

func (o *operations) known(uuid []byte) bool {
	for _, seen := range o.seen {
		if bytes.Equal(seen, uuid) && !planted.Active("agent-operation-twice") {
			return true
		}
	}
	if o.seen = append(o.seen, uuid); len(o.seen) > rememberedOperations {
		o.seen = o.seen[1:]
	}
	return false
}

func (o *operations) add(record *mesos.Operation, now time.Time) {
	if len(o.pending) >= maxOperations {
		o.pending = o.pending[1:]
	}
	o.pending = append(o.pending, &operation{record: record, at: now})
}

// records is what is told and written of them.
func (o *operations) records() []*mesos.Operation {
	var list []*mesos.Operation
	for _, one := range o.pending {
		list = append(list, one.record)
	}
	return list
}

// resume makes all of them due: a master listens again.
func (o *operations) resume(now time.Time) {
	o.paused = false
	for _, one := range o.pending {
		one.retry, one.at = 0, now
	}
}

func (o *operations) wake() (first time.Time) {
	if o.paused {
		return time.Time{}
	}
	for _, one := range o.pending {
		first = earliest(first, one.at)
	}
	return first
}
