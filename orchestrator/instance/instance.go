// Package instance is the life of one instance of an app: provisioned, staging, running,
// killing, and the ends.
//
// It owns the record of an instance and how a task's status changes it. It promises that a
// record is a value: a change gives a new one. It refuses to decide what follows from an end.
package instance

import (
	"strings"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

// Condition is where in its life an instance is.
type Condition string

// The conditions. Provisioned: written down, and an ACCEPT with it may have been sent.
const (
	Provisioned Condition = "Provisioned"
	Staging     Condition = "Staging"
	Starting    Condition = "Starting"
	Running     Condition = "Running"
	Killing     Condition = "Killing"
	Unreachable Condition = "Unreachable"
	Terminal    Condition = "Terminal"
)

// Instance is one instance. Records are not changed after they are shared.
type Instance struct {
	ID            string            `json:"id"`
	AppID         string            `json:"appId"`
	TaskID        string            `json:"taskId"`
	AgentID       string            `json:"agentId"`
	Host          string            `json:"host"`
	Version       string            `json:"version"`
	ConfigVersion string            `json:"configVersion"`
	Role          string            `json:"role"`
	Ports         []int             `json:"ports"`
	Fields        map[string]string `json:"fields"` // hostname and attributes of the agent
	IPAddresses   []string          `json:"ipAddresses,omitempty"`

	Condition Condition `json:"condition"`
	// Decommissioned: it shall end, and not come again.
	Decommissioned   bool      `json:"decommissioned,omitempty"`
	CreatedAt        time.Time `json:"createdAt"`
	StagedAt         time.Time `json:"stagedAt,omitzero"`
	StartedAt        time.Time `json:"startedAt,omitzero"`
	UnreachableSince time.Time `json:"unreachableSince,omitzero"`
	// HealthChecked: it serves only when its health check says so.
	HealthChecked bool    `json:"healthChecked,omitempty"`
	Health        *Health `json:"health,omitempty"` // nil: nothing was seen yet
	// KillSentAt is of this process alone: another one sends anew.
	KillSentAt time.Time `json:"-"`
}

// Health is what the health check of an instance has seen. Records are not changed.
type Health struct {
	Alive        bool      `json:"alive"`
	Failures     int       `json:"failures,omitempty"` // in a row
	FirstSuccess time.Time `json:"firstSuccess,omitzero"`
	LastSuccess  time.Time `json:"lastSuccess,omitzero"`
	LastFailure  time.Time `json:"lastFailure,omitzero"`
}

// TaskID makes the task id of an instance, as Marathon does.
func TaskID(id string) string { return id + "._app.1" }

// NewID makes an instance id from the app's and a unique part.
func NewID(appID, unique string) string {
	return strings.ReplaceAll(strings.TrimPrefix(appID, "/"), "/", "_") + ".instance-" + unique
}

// End says how an instance ended.
type End struct {
	State   string
	Message string
	// Delays: the app's next launch waits longer.
	Delays bool
}

// Update applies a status. When end is not nil the instance is over.
func (i Instance) Update(now time.Time, status *mesos.TaskStatus) (next Instance, end *End) {
	state := status.GetState()
	if state != mesos.TaskState_TASK_UNREACHABLE {
		i.UnreachableSince = time.Time{}
	}
	switch state {
	case mesos.TaskState_TASK_STAGING:
		i.Condition = Staging
	case mesos.TaskState_TASK_STARTING:
		i.Condition = Starting
	case mesos.TaskState_TASK_RUNNING:
		i.Condition = Running
		if i.StartedAt.IsZero() {
			i.StartedAt = now
		}
		i.takeAddresses(status)
		i.takeHealth(now, status)
	case mesos.TaskState_TASK_KILLING:
		i.Condition = Killing
	case mesos.TaskState_TASK_UNREACHABLE:
		if i.Condition != Unreachable {
			i.Condition, i.UnreachableSince = Unreachable, now
		}
	default:
		i.Condition = Terminal
		// One that is killed for its health failed, whatever its state is called.
		unhealthy := state == mesos.TaskState_TASK_KILLED && status.Healthy != nil && !status.GetHealthy()
		message := status.GetMessage()
		if unhealthy {
			message = "Killed after failed health checks: " + message
		}
		return i, &End{State: state.String(), Message: message, Delays: unhealthy || delays(state)}
	}
	return i, nil
}

// delays: what ends by itself waits before it is tried again; what others ended does not.
func delays(state mesos.TaskState) bool {
	switch state {
	case mesos.TaskState_TASK_FAILED, mesos.TaskState_TASK_FINISHED, mesos.TaskState_TASK_ERROR:
		return true
	}
	return false
}

func (i *Instance) takeAddresses(status *mesos.TaskStatus) {
	i.IPAddresses = nil
	for _, network := range status.GetContainerStatus().GetNetworkInfos() {
		for _, address := range network.GetIpAddresses() {
			i.IPAddresses = append(i.IPAddresses, address.GetIpAddress())
		}
	}
}

// takeHealth notes each result of the health check. A repeated status, as reconciliation
// sends, is none.
func (i *Instance) takeHealth(now time.Time, status *mesos.TaskStatus) {
	if status.Healthy == nil {
		return
	}
	next := Health{}
	if i.Health != nil {
		if i.Health.Alive == status.GetHealthy() && status.GetReason() != mesos.TaskStatus_REASON_TASK_HEALTH_CHECK_STATUS_UPDATED {
			return
		}
		next = *i.Health
	}
	next.Alive = status.GetHealthy()
	if next.Alive {
		next.Failures, next.LastSuccess = 0, now
		if next.FirstSuccess.IsZero() {
			next.FirstSuccess = now
		}
	} else {
		next.Failures++
		next.LastFailure = now
	}
	i.Health = &next
}

// Healthy reports that it counts as serving: without checks, running is healthy.
func (i *Instance) Healthy() bool {
	return i.Condition == Running && !i.Decommissioned && (!i.HealthChecked || i.Health != nil && i.Health.Alive)
}

// TaskState is the state that /v2/tasks shows.
func (i *Instance) TaskState() string {
	if i.Condition == Provisioned {
		return "TASK_STAGING"
	}
	return "TASK_" + strings.ToUpper(string(i.Condition))
}
