package master

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/core"
)

// callMetrics are the older names of figures that count calls.
var callMetrics = map[scheduler.Call_Type]string{
	scheduler.Call_ACCEPT: "launch_tasks", scheduler.Call_DECLINE: "decline_offers", scheduler.Call_KILL: "kill_task",
	scheduler.Call_MESSAGE: "framework_to_executor", scheduler.Call_RECONCILE: "reconcile_tasks",
	scheduler.Call_RECONCILE_OPERATIONS: "reconcile_operations", scheduler.Call_REQUEST: "resource_request",
	scheduler.Call_REVIVE: "revive_offers", scheduler.Call_SUPPRESS: "suppress_offers",
	scheduler.Call_SUBSCRIBE: "register_framework", scheduler.Call_TEARDOWN: "unregister_framework",
	scheduler.Call_ACKNOWLEDGE:                  "status_update_acknowledgement",
	scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS: "operation_status_update_acknowledgement",
}

// foreign count what only Mesos's own drivers and agents send, and answers that its master kept.
var foreign = []string{"messages_authenticate", "messages_deactivate_framework", "http_cache_hits"}

// figures computes the master's metrics from the newest snapshot.
func (m *Master) figures(_ context.Context, emit func(string, float64)) {
	snapshot := m.core.snapshot()
	elected := 0.0
	if !snapshot.ElectedAt.IsZero() {
		elected = 1
	}
	emit("master/elected", elected)
	emit("master/uptime_secs", time.Since(m.started).Seconds())
	emit("master/outstanding_offers", float64(snapshot.Offers.Len()))
	emit("master/operator_event_stream_subscribers", float64(m.api.Subscribers()))
	emit("master/event_queue_dispatches", float64(m.core.waiting[dispatches].Load()))
	emit("master/event_queue_http_requests", float64(m.core.waiting[httpRequests].Load()))
	emit("master/event_queue_messages", float64(m.core.waiting[messages].Load()))
	m.registrar.emit(emit)
	agentFigures(snapshot, emit)
	tasks := tally{}
	taskFigures(snapshot, tasks, emit)
	if m.cfg.FrameworkMetrics {
		frameworkFigures(snapshot, tasks, emit)
	}
	counterFigures(&snapshot.Counters, emit)
	operationFigures(&snapshot.Counters, emit)
	for principal, c := range m.access.Limits.Counters() {
		emit("frameworks/"+principal+"/messages_received", float64(c.Received))
		emit("frameworks/"+principal+"/messages_processed", float64(c.Processed))
	}
	systemFigures(emit)
}

func agentFigures(snapshot *core.Snapshot, emit func(string, float64)) {
	var connected, active int
	total, used := map[string]float64{}, map[string]float64{}
	for agent := range snapshot.Agents.All() {
		if agent.Connected {
			connected++
		}
		if agent.Active {
			active++
		}
		addScalars(total, agent.Total)
		addScalars(used, agent.Used)
	}
	n := snapshot.Agents.Len()
	emit("master/slaves_connected", float64(connected))
	emit("master/slaves_disconnected", float64(n-connected))
	emit("master/slaves_active", float64(active))
	emit("master/slaves_inactive", float64(n-active))
	emit("master/slaves_unreachable", float64(snapshot.UnreachableAgents.Len()))
	for _, name := range []string{"cpus", "mem", "disk", "gpus"} {
		for _, kind := range []string{"", "_revocable"} {
			t, u := total[name+kind], used[name+kind]
			percent := 0.0
			if t > 0 {
				percent = u / t
			}
			emit("master/"+name+kind+"_total", t)
			emit("master/"+name+kind+"_used", u)
			emit("master/"+name+kind+"_percent", percent)
		}
	}
}

func addScalars(sum map[string]float64, list []*mesos.Resource) {
	for _, r := range list {
		if r.GetType() != mesos.Value_SCALAR {
			continue
		}
		name := r.GetName()
		if r.Revocable != nil {
			name += "_revocable"
		}
		sum[name] += r.GetScalar().GetValue()
	}
}

func taskFigures(snapshot *core.Snapshot, tasks tally, emit func(string, float64)) {
	var connected, active int
	states := map[mesos.TaskState]int{}
	for f := range snapshot.Frameworks.All() {
		if f.Connected {
			connected++
		}
		if f.Active {
			active++
		}
		for state, count := range tasks.of(f) {
			states[state] += count
		}
	}
	n := snapshot.Frameworks.Len()
	emit("master/frameworks_connected", float64(connected))
	emit("master/frameworks_disconnected", float64(n-connected))
	emit("master/frameworks_active", float64(active))
	emit("master/frameworks_inactive", float64(n-active))
	for number, name := range mesos.TaskState_name {
		state := mesos.TaskState(number)
		key := "master/tasks_" + strings.ToLower(strings.TrimPrefix(name, "TASK_"))
		switch state {
		case mesos.TaskState_TASK_STAGING, mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_RUNNING,
			mesos.TaskState_TASK_KILLING, mesos.TaskState_TASK_UNREACHABLE:
			emit(key, float64(states[state]))
		case mesos.TaskState_TASK_UNKNOWN:
		default:
			emit(key, float64(snapshot.Counters.Terminal[number]))
		}
	}
}

func counterFigures(c *core.Counters, emit func(string, float64)) {
	for kind, name := range callMetrics {
		emit("master/messages_"+name, float64(c.Calls[kind]))
	}
	for _, name := range foreign {
		emit("master/"+name, 0)
	}
	for name, value := range map[string]uint64{
		"slave_registrations": c.AgentRegistrations, "slave_reregistrations": c.AgentReregistrations,
		"slave_removals/reason_registered": c.AgentsReplaced, "slave_removals/reason_unregistered": c.AgentsUnregistered,
		"slave_removals/reason_unhealthy": c.UnreachableScheduled - c.RecoveryRemovals,
		"slave_removals":                  c.AgentRemovals, "slave_unreachable_completed": c.AgentsUnreachable,
		"slave_unreachable_scheduled": c.UnreachableScheduled, "slave_unreachable_canceled": c.UnreachableCanceled, "recovery_slave_removals": c.RecoveryRemovals,
		// Mesos's older names of the three.
		"slave_shutdowns_completed": c.AgentsUnreachable, "slave_shutdowns_scheduled": c.UnreachableScheduled, "slave_shutdowns_canceled": c.UnreachableCanceled,
		"valid_status_updates": c.ValidStatusUpdates, "invalid_status_updates": c.InvalidStatusUpdates,
		"messages_status_update":                 c.ValidStatusUpdates + c.InvalidStatusUpdates,
		"valid_status_update_acknowledgements":   c.ValidAcknowledgements,
		"invalid_status_update_acknowledgements": c.InvalidAcknowledgements,
		"valid_framework_to_executor_messages":   c.ValidMessagesToExecutor,
		"invalid_framework_to_executor_messages": c.InvalidMessagesToExecutor,
		"valid_executor_to_framework_messages":   c.ValidMessagesToFramework,
		"invalid_executor_to_framework_messages": c.InvalidMessagesToFramework,
		"messages_executor_to_framework":         c.ValidMessagesToFramework + c.InvalidMessagesToFramework,
		"messages_exited_executor":               c.ExitedExecutors,
		"messages_register_slave":                c.AgentRegistrations,
		"messages_unregister_slave":              c.AgentsUnregistered,
		"messages_update_slave":                  c.AgentUpdates,
		"messages_reregister_framework":          c.Resubscriptions,
		"messages_reregister_slave":              c.AgentReregistrations,
		"dropped_messages":                       c.DroppedMessages,

		"messages_operation_status_update":                 c.ValidOperationUpdates + c.InvalidOperationUpdates,
		"valid_operation_status_updates":                   c.ValidOperationUpdates,
		"invalid_operation_status_updates":                 c.InvalidOperationUpdates,
		"valid_operation_status_update_acknowledgements":   c.ValidOperationAcknowledgements,
		"invalid_operation_status_update_acknowledgements": c.InvalidOperationAcknowledgements,
	} {
		emit("master/"+name, float64(value))
	}
	for end, n := range c.Reasons {
		if end.Reason < 0 {
			continue // counted by state alone, as in Mesos
		}
		reason := strings.Replace(strings.ToLower(end.Reason.String()), "reason_agent_", "reason_slave_", 1)
		emit("master/"+strings.ToLower(end.State.String())+"/"+strings.ToLower(end.Source.String())+"/"+reason, float64(n))
	}
}

// operationFigures counts what was asked of agents' resources: by type and state, and in all.
func operationFigures(c *core.Counters, emit func(string, float64)) {
	states := []mesos.OperationState{mesos.OperationState_OPERATION_PENDING, mesos.OperationState_OPERATION_FINISHED,
		mesos.OperationState_OPERATION_FAILED, mesos.OperationState_OPERATION_ERROR, mesos.OperationState_OPERATION_DROPPED,
		mesos.OperationState_OPERATION_UNREACHABLE, mesos.OperationState_OPERATION_GONE_BY_OPERATOR,
		mesos.OperationState_OPERATION_RECOVERING}
	var all uint64
	byState := map[mesos.OperationState]uint64{}
	for number, name := range mesos.Offer_Operation_Type_name {
		switch kind := mesos.Offer_Operation_Type(number); kind {
		case mesos.Offer_Operation_UNKNOWN, mesos.Offer_Operation_LAUNCH, mesos.Offer_Operation_LAUNCH_GROUP:
			continue
		}
		var total uint64
		for _, state := range states {
			n := c.Operations[number][state]
			total += n
			byState[state] += n
			emit("master/operations/"+strings.ToLower(name)+"/"+operationStateName(state), float64(n))
		}
		all += total
		emit("master/operations/"+strings.ToLower(name)+"/total", float64(total))
	}
	for _, state := range states {
		emit("master/operations/"+operationStateName(state), float64(byState[state]))
	}
	emit("master/operations/total", float64(all))
}

func operationStateName(state mesos.OperationState) string {
	return strings.ToLower(strings.TrimPrefix(state.String(), "OPERATION_"))
}

func systemFigures(emit func(string, float64)) {
	emit("system/cpus_total", float64(runtime.NumCPU()))
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		fields := strings.Fields(string(text))
		for i, name := range []string{"system/load_1min", "system/load_5min", "system/load_15min"} {
			if i < len(fields) {
				value, _ := strconv.ParseFloat(fields[i], 64)
				emit(name, value)
			}
		}
	}
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "MemTotal:":
			emit("system/mem_total_bytes", kib*1024)
		case "MemFree:":
			emit("system/mem_free_bytes", kib*1024)
		}
	}
}
