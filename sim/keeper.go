package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// volumeDisk is how much disk a volume has.
const volumeDisk = 100

// keeper is what a framework knows of its volumes: it reserves disk, makes volumes, runs tasks on
// them and destroys them, each with feedback.
type keeper struct {
	f          *frameworkNode
	count      int
	operations map[string]*simOperation
	volumes    map[string]*simVolume
}

// simVolume is a volume that its framework asked for.
type simVolume struct {
	id     string
	made   bool // the agent said so
	doomed bool // its end was asked for, and may have come
	gone   bool // the agent said so
}

// simOperation is an operation of which the framework wants to know the end.
type simOperation struct {
	id     string
	kind   mesos.Offer_Operation_Type
	volume *simVolume
	agent  *mesos.AgentID
	state  mesos.OperationState
}

func newKeeper(f *frameworkNode) *keeper {
	return &keeper{f: f, operations: map[string]*simOperation{}, volumes: map[string]*simVolume{}}
}

// settled says whether the framework needs no further word on an operation.
func (o *simOperation) settled() bool {
	switch o.state {
	case mesos.OperationState_OPERATION_PENDING, mesos.OperationState_OPERATION_UNREACHABLE, mesos.OperationState_OPERATION_RECOVERING:
		return false
	}
	return true
}

// plan makes operations for an offer that tasks are launched on, the first of them maybe on a volume.
func (k *keeper) plan(offer *mesos.Offer, tasks []*mesos.TaskInfo) (operations []*mesos.Offer_Operation) {
	w := k.f.w
	var volume *mesos.Resource
	reserved, free := 0.0, 0.0
	for _, r := range offer.GetResources() {
		switch {
		case r.GetName() != "disk":
		case r.GetDisk().GetPersistence() != nil:
			volume = r
		case len(r.GetReservations()) > 0:
			reserved += r.GetScalar().GetValue()
		default:
			free += r.GetScalar().GetValue()
		}
	}
	switch {
	case volume != nil && w.chance(0.3) && !w.calm:
		return k.destroy(offer, volume)
	case volume == nil && k.living() < 3 && free >= volumeDisk && w.chance(0.7):
		volume, operations = k.create(offer, reserved < volumeDisk)
	}
	if volume != nil && w.chance(0.8) {
		tasks[0].Resources = append(tasks[0].Resources, volume)
	}
	return operations
}

func (k *keeper) living() (n int) {
	for _, v := range k.volumes {
		if v.made && !v.doomed {
			n++
		}
	}
	return n
}

func (k *keeper) disk(size float64, volume string) *mesos.Resource {
	r := amounts(0, 0, size)[0]
	r.Reservations = []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: ptr(k.f.role())}}
	if volume != "" {
		r.Disk = &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{Id: &volume},
			Volume: &mesos.Volume{ContainerPath: ptr("data"), Mode: mesos.Volume_RW.Enum()}}
	}
	return r
}

func (k *keeper) create(offer *mesos.Offer, reserve bool) (volume *mesos.Resource, operations []*mesos.Offer_Operation) {
	k.count++
	v := &simVolume{id: fmt.Sprintf("%s.v%d", k.f.host, k.count)}
	k.volumes[v.id] = v
	volume = k.disk(volumeDisk, v.id)
	if reserve {
		op := k.ask(mesos.Offer_Operation_RESERVE, v, offer)
		op.Reserve = &mesos.Offer_Operation_Reserve{Resources: []*mesos.Resource{k.disk(volumeDisk, "")}}
		operations = append(operations, op)
	}
	op := k.ask(mesos.Offer_Operation_CREATE, v, offer)
	op.Create = &mesos.Offer_Operation_Create{Volumes: []*mesos.Resource{volume}}
	return volume, append(operations, op)
}

func (k *keeper) destroy(offer *mesos.Offer, volume *mesos.Resource) []*mesos.Offer_Operation {
	v := k.volumes[volume.GetDisk().GetPersistence().GetId()]
	if v == nil {
		k.f.w.fail("invariant 8: %s is offered volume %s, which it never made", k.f.host, volume.GetDisk().GetPersistence().GetId())
	}
	v.doomed = true
	destroy := k.ask(mesos.Offer_Operation_DESTROY, v, offer)
	destroy.Destroy = &mesos.Offer_Operation_Destroy{Volumes: []*mesos.Resource{volume}}
	unreserve := k.ask(mesos.Offer_Operation_UNRESERVE, v, offer)
	unreserve.Unreserve = &mesos.Offer_Operation_Unreserve{Resources: []*mesos.Resource{k.disk(volumeDisk, "")}}
	return []*mesos.Offer_Operation{destroy, unreserve}
}

// ask notes an operation whose end the framework wants to know.
func (k *keeper) ask(kind mesos.Offer_Operation_Type, v *simVolume, offer *mesos.Offer) *mesos.Offer_Operation {
	o := &simOperation{id: fmt.Sprintf("%s.%s", v.id, kind), kind: kind, volume: v, agent: offer.GetAgentId(),
		state: mesos.OperationState_OPERATION_PENDING}
	for n := 2; k.operations[o.id] != nil; n++ {
		o.id = fmt.Sprintf("%s.%s.%d", v.id, kind, n)
	}
	k.operations[o.id] = o
	return &mesos.Offer_Operation{Type: kind.Enum(), Id: &mesos.OperationID{Value: ptr(o.id)}}
}

// status takes note of a word on an operation, and acknowledges it, mostly.
func (k *keeper) status(s *mesos.OperationStatus) {
	w, o := k.f.w, k.operations[s.GetOperationId().GetValue()]
	if o == nil {
		w.fail("framework %s hears of operation %s, which it never asked for", k.f.host, s.GetOperationId().GetValue())
	}
	w.trace(k.f.host, "operation %s is %v (%s)", o.id, s.GetState(), s.GetMessage())
	if s.Uuid != nil && (w.calm || !w.chance(0.1)) {
		k.f.call(&scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS.Enum(),
			AcknowledgeOperationStatus: &scheduler.Call_AcknowledgeOperationStatus{AgentId: s.GetAgentId(),
				OperationId: s.GetOperationId(), Uuid: s.GetUuid().GetValue()}})
	}
	if o.settled() {
		if s.GetState() == mesos.OperationState_OPERATION_FINISHED && o.state == mesos.OperationState_OPERATION_DROPPED {
			w.fail("invariant 8: operation %s was DROPPED and is FINISHED", o.id)
		}
		return
	}
	o.state = s.GetState()
	finished := o.state == mesos.OperationState_OPERATION_FINISHED
	switch o.kind {
	case mesos.Offer_Operation_CREATE:
		o.volume.made = finished
	case mesos.Offer_Operation_DESTROY:
		o.volume.gone = o.volume.gone || finished
		o.volume.doomed = k.destroying(o.volume)
	}
}

// destroying says whether a DESTROY of a volume came to pass, or may have: of two, one on an offer of before fails.
func (k *keeper) destroying(v *simVolume) bool {
	for _, o := range k.operations {
		if o.kind == mesos.Offer_Operation_DESTROY && o.volume == v &&
			o.state != mesos.OperationState_OPERATION_ERROR && o.state != mesos.OperationState_OPERATION_DROPPED {
			return true
		}
	}
	return false
}

// reconcile asks about the operations that are not settled.
func (k *keeper) reconcile() {
	call := &scheduler.Call_ReconcileOperations{}
	for _, id := range slices.Sorted(maps.Keys(k.operations)) {
		if o := k.operations[id]; !o.settled() {
			call.Operations = append(call.Operations, &scheduler.Call_ReconcileOperations_Operation{
				OperationId: &mesos.OperationID{Value: ptr(id)}, AgentId: o.agent})
		}
	}
	if len(call.Operations) > 0 {
		k.f.call(&scheduler.Call{Type: scheduler.Call_RECONCILE_OPERATIONS.Enum(), ReconcileOperations: call})
	}
}

// scheduleReservations lets the operator reserve, and unreserve, a little disk now and then.
func (w *world) scheduleReservations() {
	w.after(w.upTo(40*time.Second), func() {
		if w.calm {
			return
		}
		w.operator.reserve(w.agents[w.rng.IntN(len(w.agents))], w.frameworks[w.rng.IntN(len(w.frameworks))])
		w.scheduleReservations()
	})
}
