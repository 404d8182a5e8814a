package core_test

import (
	"fmt"
	"strings"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
)

// step passes an event to the core, carries out the result and notes it.
func (w *world) step(e core.Event) {
	ready := w.core.Step(w.now, e)
	for _, p := range ready.Persist {
		w.disk.Apply(p)
		if text := w.describeWrite(p); text != "" {
			w.said = append(w.said, "persist "+text)
		}
	}
	for _, s := range ready.Send {
		if text := w.describeSend(s); text != "" {
			w.said = append(w.said, text)
		}
	}
}

func (w *world) describeWrite(p core.Write) string {
	switch p := p.(type) {
	case core.WriteAgent:
		return "agent " + p.Info.GetId().GetValue()
	case core.WriteFramework:
		return "framework " + p.Info.GetId().GetValue()
	case core.WriteExecutor:
		return fmt.Sprintf("executor %s (%s)", p.Run.Key.Executor, p.Kind)
	case core.WriteTask:
		return "task " + p.Info.GetTaskId().GetValue()
	case core.WriteUpdate:
		return fmt.Sprintf("update %s %s", p.Task, p.Status.GetState())
	case core.WriteAcknowledged:
		return fmt.Sprintf("acknowledged %s", p.Task)
	case core.WriteEnded:
		return fmt.Sprintf("ended %s", p.Run.Key.Executor)
	case core.CompleteTask:
		text := "complete task " + p.Task.GetTaskId().GetValue()
		if p.Kept != nil {
			text += fmt.Sprintf(", keep %d", len(p.Kept))
		}
		return text
	case core.WriteCause:
		return fmt.Sprintf("cause %s %s", p.Run.Key.Executor, strings.TrimPrefix(p.Cause.Reason.String(), "REASON_"))
	case core.RemoveTask:
		return fmt.Sprintf("forget task %s", p.Task)
	case core.RemoveExecutor:
		return fmt.Sprintf("forget executor %s", p.Run.Key.Executor)
	case core.WriteCompleted:
		return "" // it goes with the executor that is forgotten
	case core.ForgetCompleted:
		return "unlist " + w.name(p.Container)
	case core.WriteResources:
		return describeResources(p)
	case core.RemoveFramework:
		return fmt.Sprintf("forget framework %s", p.Framework)
	case core.WriteDrain:
		return fmt.Sprintf("drain %v", p.Config != nil)
	case core.WriteExecutorState:
		return "" // its content is the executors' business
	}
	return fmt.Sprintf("%T", p)
}

func (w *world) describeSend(s core.Send) string {
	switch s := s.(type) {
	case core.ToMaster:
		return "master <- " + w.describeMessage(s.Message)
	case core.ToExecutor:
		text := s.Event.GetType().String()
		switch {
		case s.Event.GetLaunch() != nil:
			text += " " + s.Event.GetLaunch().GetTask().GetTaskId().GetValue()
		case s.Event.GetKill() != nil:
			text += " " + s.Event.GetKill().GetTaskId().GetValue()
		case s.Event.GetAcknowledged() != nil:
			text += " " + s.Event.GetAcknowledged().GetTaskId().GetValue()
		}
		return fmt.Sprintf("executor %d <- %s", s.Connection, text)
	case core.LaunchContainer:
		name := string(s.Task)
		if name == "" {
			name = string(s.Executor.Executor)
		}
		w.ids[name], w.live[s.Spec.ID] = s.Spec.ID, name
		nested := ""
		if _, ok := s.Spec.ID.Parent(); ok {
			nested = " nested"
		}
		return fmt.Sprintf("launch%s %s as %s", nested, name, s.Spec.User)
	case core.SignalContainer:
		return fmt.Sprintf("signal %d %s", int(s.Signal), w.name(s.ID))
	case core.ProbeContainer:
		return "probe " + w.describeProbe(s)
	case core.DestroyContainer:
		return "destroy " + w.name(s.ID)
	case core.RemoveContainer:
		delete(w.ended, s.ID)
		return "remove " + w.name(s.ID)
	case core.UpdateContainer:
		return "resize " + w.name(s.ID)
	case core.Reply:
		if s.Err == nil {
			return ""
		}
		return "reply " + s.Err.Error()
	case core.Exit:
		return fmt.Sprintf("exit %v", s.Err)
	case core.ForgetSandbox:
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", s), "core."))
}

func (w *world) name(id containerizer.ID) string {
	for name, have := range w.ids {
		if have == id {
			return name
		}
	}
	return string(id)
}

func (w *world) describeMessage(m *link.FromAgent) string {
	switch m := m.GetMessage().(type) {
	case *link.FromAgent_Register:
		return "register"
	case *link.FromAgent_Reregister:
		var tasks []string
		for _, t := range m.Reregister.GetTasks() {
			tasks = append(tasks, fmt.Sprintf("%s %s (update %s)", t.GetTaskId().GetValue(), short(t.GetState()), short(t.GetStatusUpdateState())))
		}
		text := fmt.Sprintf("reregister %d executors, tasks [%s]", len(m.Reregister.GetExecutors()), strings.Join(tasks, ", "))
		if have := m.Reregister.GetCheckpointedResources(); len(have) > 0 {
			text += ", with " + listed(have)
		}
		if n := len(m.Reregister.GetOperations()); n > 0 {
			text += fmt.Sprintf(", %d operations", n)
		}
		for _, done := range m.Reregister.GetCompletedFrameworks() {
			text += fmt.Sprintf(", %d completed of %s", len(done.GetTasks()), done.GetFramework().GetId().GetValue())
		}
		return text
	case *link.FromAgent_StatusUpdate:
		s := m.StatusUpdate.GetStatus()
		w.updates[s.GetTaskId().GetValue()] = s.GetUuid()
		text := fmt.Sprintf("update %s %s", s.GetTaskId().GetValue(), short(s.GetState()))
		if latest := m.StatusUpdate.GetLatestState(); latest != s.GetState() {
			text += " (latest " + short(latest) + ")"
		}
		if s.Reason != nil {
			text += " " + strings.TrimPrefix(s.GetReason().String(), "REASON_")
		}
		if s.Healthy != nil {
			text += fmt.Sprintf(" healthy=%v", s.GetHealthy())
		}
		if s.GetCheckStatus().GetCommand().GetExitCode() != 0 {
			text += fmt.Sprintf(" check=%d", s.GetCheckStatus().GetCommand().GetExitCode())
		}
		if s.GetMessage() != "" {
			text += fmt.Sprintf(" %q", s.GetMessage())
		}
		return text
	case *link.FromAgent_OperationUpdate:
		return w.describeOperation(m.OperationUpdate)
	case *link.FromAgent_ExitedExecutor:
		return fmt.Sprintf("exited executor %s %d", m.ExitedExecutor.GetExecutorId().GetValue(), m.ExitedExecutor.GetStatus())
	case *link.FromAgent_UpdateAgent:
		return "oversubscribed " + listed(m.UpdateAgent.GetOversubscribed())
	case *link.FromAgent_Pong:
		return "pong"
	case *link.FromAgent_Drained:
		return "drained"
	case *link.FromAgent_Unregister:
		return "unregister"
	}
	return fmt.Sprintf("%T", m.GetMessage())
}

func short(s mesos.TaskState) string { return strings.TrimPrefix(s.String(), "TASK_") }
