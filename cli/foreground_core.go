package cli

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	mesos "agora.dev/agora/api/mesos/v1"
	schedulerpb "agora.dev/agora/api/mesos/v1/scheduler"
)

// foregroundName is the name under which agora run registers as a framework.
const foregroundName = "agora run"

// refuseSeconds keeps an agent that is too small from being offered again soon.
const refuseSeconds = 5

// foreground is the framework of one task: it takes the first offer that fits, and
// ends with the task. It is pure: events in, calls out.
type foreground struct {
	options  runOptions
	taskID   string
	launched bool
	agent    *mesos.AgentID
	offered  bool // an offer has come
	closest  string
	status   *mesos.TaskStatus
}

// framework describes it to the master.
func (f *foreground) framework(user, principal string) *mesos.FrameworkInfo {
	name, host := foregroundName, f.options.Name
	info := &mesos.FrameworkInfo{User: &user, Name: &name, Roles: []string{f.options.Role},
		Capabilities: []*mesos.FrameworkInfo_Capability{
			{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()},
			{Type: mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT.Enum()},
			{Type: mesos.FrameworkInfo_Capability_PARTITION_AWARE.Enum()},
			{Type: mesos.FrameworkInfo_Capability_TASK_KILLING_STATE.Enum()},
		},
		Labels: &mesos.Labels{Labels: []*mesos.Label{{Key: ptr("task"), Value: &host}}},
	}
	if principal != "" {
		info.Principal = &principal
	}
	return info
}

// on handles one event and returns the calls that answer it.
func (f *foreground) on(event *schedulerpb.Event) []*schedulerpb.Call {
	switch event.GetType() {
	case schedulerpb.Event_OFFERS:
		return f.offers(event.GetOffers().GetOffers())
	case schedulerpb.Event_UPDATE:
		return f.update(event.GetUpdate().GetStatus())
	case schedulerpb.Event_SUBSCRIBED:
		if f.launched {
			task := &schedulerpb.Call_Reconcile_Task{TaskId: &mesos.TaskID{Value: &f.taskID}, AgentId: f.agent}
			return []*schedulerpb.Call{{Type: schedulerpb.Call_RECONCILE.Enum(),
				Reconcile: &schedulerpb.Call_Reconcile{Tasks: []*schedulerpb.Call_Reconcile_Task{task}}}}
		}
	}
	return nil
}

func (f *foreground) offers(offers []*mesos.Offer) []*schedulerpb.Call {
	var calls []*schedulerpb.Call
	for _, offer := range offers {
		f.offered = true
		if !f.launched {
			resources, missing := f.options.take(offer.GetResources())
			if missing == "" {
				f.launched, f.agent = true, offer.GetAgentId()
				calls = append(calls, f.accept(offer, resources), &schedulerpb.Call{Type: schedulerpb.Call_SUPPRESS.Enum()})
				continue
			}
			f.closest = offer.GetHostname() + " " + missing
		}
		seconds := float64(refuseSeconds)
		calls = append(calls, &schedulerpb.Call{Type: schedulerpb.Call_DECLINE.Enum(), Decline: &schedulerpb.Call_Decline{
			OfferIds: []*mesos.OfferID{offer.GetId()}, Filters: &mesos.Filters{RefuseSeconds: &seconds}}})
	}
	return calls
}

func (f *foreground) accept(offer *mesos.Offer, resources []*mesos.Resource) *schedulerpb.Call {
	task := f.options.taskInfo(f.taskID, offer.GetAgentId(), resources)
	return &schedulerpb.Call{Type: schedulerpb.Call_ACCEPT.Enum(), Accept: &schedulerpb.Call_Accept{
		OfferIds: []*mesos.OfferID{offer.GetId()},
		Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(),
			Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{task}}}}}}
}

func (f *foreground) update(status *mesos.TaskStatus) []*schedulerpb.Call {
	if status.GetTaskId().GetValue() != f.taskID {
		return nil
	}
	f.status = status
	if len(status.GetUuid()) == 0 {
		return nil
	}
	return []*schedulerpb.Call{{Type: schedulerpb.Call_ACKNOWLEDGE.Enum(), Acknowledge: &schedulerpb.Call_Acknowledge{
		AgentId: status.GetAgentId(), TaskId: status.GetTaskId(), Uuid: status.GetUuid()}}}
}

// kill asks the cluster to end the task; a second call with no grace ends it now.
func (f *foreground) kill(now bool) *schedulerpb.Call {
	kill := &schedulerpb.Call_Kill{TaskId: &mesos.TaskID{Value: &f.taskID}, AgentId: f.agent}
	if now {
		kill.KillPolicy = &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: ptr(int64(0))}}
	}
	return &schedulerpb.Call{Type: schedulerpb.Call_KILL.Enum(), Kill: kill}
}

// ended reports whether the last status is a terminal one.
func (f *foreground) ended() bool { return terminal(f.status.GetState()) && f.status != nil }

func terminal(state mesos.TaskState) bool {
	switch state {
	case mesos.TaskState_TASK_FINISHED, mesos.TaskState_TASK_FAILED, mesos.TaskState_TASK_KILLED,
		mesos.TaskState_TASK_ERROR, mesos.TaskState_TASK_LOST, mesos.TaskState_TASK_DROPPED,
		mesos.TaskState_TASK_GONE, mesos.TaskState_TASK_GONE_BY_OPERATOR:
		return true
	}
	return false
}

var (
	exitedWith = regexp.MustCompile(`^Command exited with status (\d+)`)
	endedBy    = regexp.MustCompile(`^Command terminated with signal ([A-Za-z ]+|SIG[A-Z0-9]+|\d+)`)
)

// exit returns the exit code for the task's last status, and the line that explains
// it when the command itself gave none.
func (f *foreground) exit() (code int, text string) {
	message := f.status.GetMessage()
	if m := exitedWith.FindStringSubmatch(message); m != nil {
		code, _ = strconv.Atoi(m[1])
		return code, ""
	}
	if m := endedBy.FindStringSubmatch(message); m != nil && f.status.GetReason() != mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY {
		return ExitSignal + signalNumber(strings.TrimSpace(m[1])), ""
	}
	state := strings.TrimPrefix(f.status.GetState().String(), "TASK_")
	text = fmt.Sprintf("task %s: %s", f.taskID, strings.ToLower(state))
	if message != "" {
		text += ": " + message
	}
	switch {
	case f.status.GetState() == mesos.TaskState_TASK_FINISHED:
		return 0, ""
	case f.status.GetState() == mesos.TaskState_TASK_KILLED:
		return ExitSignal + 15, text
	case f.status.GetReason() == mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY:
		return ExitSignal + 9, text
	case strings.Contains(message, "not found in the container") || strings.Contains(message, "no such file or directory") && strings.Contains(message, "exec"):
		return ExitNoCommand, text
	case strings.Contains(message, "permission denied") && strings.Contains(message, "exec"):
		return ExitNotExecutable, text
	}
	return ExitNotRun, text
}

func ptr[T any](v T) *T { return &v }
