package auth

import "agora.dev/agora/api/mesos/v1"

// Question is one thing to ask an authorizer.
type Question struct {
	Action Action
	Object Object
}

// FrameworkUser is the object of VIEW_FRAMEWORK.
func FrameworkUser(framework *mesos.FrameworkInfo) Object { return Of(framework.GetUser()) }

// LaunchUser is the object of RUN_TASK: the user that a task would run as.
func LaunchUser(task *mesos.TaskInfo, framework *mesos.FrameworkInfo) Object {
	switch {
	case task.GetCommand().GetUser() != "":
		return Of(task.GetCommand().GetUser())
	case task.GetExecutor().GetCommand().GetUser() != "":
		return Of(task.GetExecutor().GetCommand().GetUser())
	}
	return FrameworkUser(framework)
}

// TaskUser is the object of VIEW_TASK.
func TaskUser(task *mesos.Task, framework *mesos.FrameworkInfo) Object {
	if task.GetUser() != "" {
		return Of(task.GetUser())
	}
	return FrameworkUser(framework)
}

// ExecutorUser is the object of VIEW_EXECUTOR, ACCESS_SANDBOX and the actions on containers.
func ExecutorUser(executor *mesos.ExecutorInfo, framework *mesos.FrameworkInfo) Object {
	if executor.GetCommand().GetUser() != "" {
		return Of(executor.GetCommand().GetUser())
	}
	return FrameworkUser(framework)
}

// ReservationRole is the object of RESERVE_RESOURCES, CREATE_VOLUME, RESIZE_VOLUME and the actions
// on disks: the role of the innermost reservation.
func ReservationRole(r *mesos.Resource) Object {
	if n := len(r.GetReservations()); n > 0 {
		return Of(r.GetReservations()[n-1].GetRole())
	}
	return Of(r.GetRole())
}

// Reserver is the object of UNRESERVE_RESOURCES: who made the innermost reservation.
func Reserver(r *mesos.Resource) Object {
	if n := len(r.GetReservations()); n > 0 {
		return Of(r.GetReservations()[n-1].GetPrincipal())
	}
	return Of(r.GetReservation().GetPrincipal())
}

// VolumeCreator is the object of DESTROY_VOLUME.
func VolumeCreator(r *mesos.Resource) Object {
	return Of(r.GetDisk().GetPersistence().GetPrincipal())
}

// each asks the same of every resource; none at all asks about every object.
func each(action Action, resources []*mesos.Resource, object func(*mesos.Resource) Object) []Question {
	if len(resources) == 0 {
		return []Question{{action, Any}}
	}
	var asked []Question
	for _, r := range resources {
		q := Question{action, object(r)}
		if len(asked) == 0 || asked[len(asked)-1] != q {
			asked = append(asked, q)
		}
	}
	return asked
}

// Reserving, Unreserving, CreatingVolumes, DestroyingVolumes and Resizing are the questions that
// an operation on resources raises, a framework's or an operator's.
func Reserving(resources []*mesos.Resource) []Question {
	return each(ReserveResources, resources, ReservationRole)
}

// Unreserving asks who made the reservations.
func Unreserving(resources []*mesos.Resource) []Question {
	return each(UnreserveResources, resources, Reserver)
}

// CreatingVolumes asks about the roles of the volumes.
func CreatingVolumes(volumes []*mesos.Resource) []Question {
	return each(CreateVolume, volumes, ReservationRole)
}

// DestroyingVolumes asks who made the volumes.
func DestroyingVolumes(volumes []*mesos.Resource) []Question {
	return each(DestroyVolume, volumes, VolumeCreator)
}

// Resizing asks about the role of the volume.
func Resizing(volume *mesos.Resource) []Question {
	return each(ResizeVolume, []*mesos.Resource{volume}, ReservationRole)
}

// Operation lists what an offer operation of a framework has to be allowed. Launches are asked for
// each task, by LaunchUser.
func Operation(op *mesos.Offer_Operation) []Question {
	switch op.GetType() {
	case mesos.Offer_Operation_RESERVE:
		return append(releasing(op.GetReserve()), Reserving(op.GetReserve().GetResources())...)
	case mesos.Offer_Operation_UNRESERVE:
		return Unreserving(op.GetUnreserve().GetResources())
	case mesos.Offer_Operation_CREATE:
		return CreatingVolumes(op.GetCreate().GetVolumes())
	case mesos.Offer_Operation_DESTROY:
		return DestroyingVolumes(op.GetDestroy().GetVolumes())
	case mesos.Offer_Operation_GROW_VOLUME:
		return Resizing(op.GetGrowVolume().GetVolume())
	case mesos.Offer_Operation_SHRINK_VOLUME:
		return Resizing(op.GetShrinkVolume().GetVolume())
	case mesos.Offer_Operation_CREATE_DISK:
		action := CreateMountDisk
		if op.GetCreateDisk().GetTargetType() == mesos.Resource_DiskInfo_Source_BLOCK {
			action = CreateBlockDisk
		}
		return each(action, []*mesos.Resource{op.GetCreateDisk().GetSource()}, ReservationRole)
	case mesos.Offer_Operation_DESTROY_DISK:
		source := op.GetDestroyDisk().GetSource()
		return each(destroyDisk(source), []*mesos.Resource{source}, ReservationRole)
	}
	return nil
}

// releasing asks about the reservations that a RESERVE with a source takes away: those that do not
// stay below the new ones.
func releasing(r *mesos.Offer_Operation_Reserve) []Question {
	if len(r.GetSource()) == 0 || len(r.GetResources()) == 0 {
		return nil
	}
	var gone []*mesos.Resource
	for _, source := range r.GetSource() {
		if n := len(source.GetReservations()); n > 0 && n >= len(r.GetResources()[0].GetReservations()) {
			gone = append(gone, source)
		}
	}
	if gone == nil {
		return nil
	}
	return Unreserving(gone)
}

func destroyDisk(source *mesos.Resource) Action {
	switch source.GetDisk().GetSource().GetType() {
	case mesos.Resource_DiskInfo_Source_BLOCK:
		return DestroyBlockDisk
	case mesos.Resource_DiskInfo_Source_RAW:
		return DestroyRawDisk
	}
	return DestroyMountDisk
}
