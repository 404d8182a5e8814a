package core

import (
	"bytes"
	"cmp"
	"slices"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

func (s *State) apply(w Write) {
	switch w := w.(type) {
	case WriteAgent:
		s.Agent = w.Info
	case WriteResources:
		s.Resources, s.Operations = w.Resources, w.Operations
	case WriteDrain:
		s.Drain = w.Config
	case WriteFramework:
		s.framework(FrameworkID(w.Info.GetId().GetValue())).Info = w.Info
	case RemoveFramework:
		s.Frameworks = slices.DeleteFunc(s.Frameworks, func(f FrameworkState) bool { return frameworkID(f.Info) == w.Framework })
	case WriteExecutor:
		run := s.run(w.Run)
		run.Kind, run.Info = w.Kind, w.Info
	case WriteExecutorState:
		s.run(w.Run).Core = w.State
	case CompleteTask:
		run := s.run(w.Run)
		run.Completed = append(slices.Clip(run.Completed), w.Task)
		if w.Kept != nil {
			run.Completed = w.Kept
		}
		s.apply(RemoveTask{Run: w.Run, Task: TaskID(w.Task.GetTaskId().GetValue())})
	case WriteCause:
		s.run(w.Run).Cause = w.Cause
	case WriteEnded:
		s.run(w.Run).Ended = true
	case RemoveExecutor:
		f := s.framework(w.Run.Key.Framework)
		f.Executors = slices.DeleteFunc(f.Executors, func(e ExecutorState) bool { return e.Run == w.Run })
	case WriteCompleted:
		s.forgetCompleted(w.Completed.Run.Container)
		s.Completed = append(s.Completed, w.Completed)
	case ForgetCompleted:
		s.forgetCompleted(w.Container)
	case WriteTask:
		s.task(w.Run, TaskID(w.Info.GetTaskId().GetValue())).Info = w.Info
	case RemoveTask:
		run := s.run(w.Run)
		run.Tasks = slices.DeleteFunc(run.Tasks, func(t TaskState) bool { return taskID(t.Info) == w.Task })
	case WriteUpdate:
		t := s.task(w.Run, w.Task)
		t.Updates = append(t.Updates, UpdateState{Status: w.Status})
	case WriteAcknowledged:
		t := s.task(w.Run, w.Task)
		for i := range t.Updates {
			if bytes.Equal(t.Updates[i].Status.GetUuid(), w.UUID) {
				t.Updates[i].Acknowledged = true
			}
		}
	}
}

func frameworkID(info *mesos.FrameworkInfo) FrameworkID { return FrameworkID(info.GetId().GetValue()) }
func executorID(info *mesos.ExecutorInfo) ExecutorID {
	return ExecutorID(info.GetExecutorId().GetValue())
}
func taskID(info *mesos.TaskInfo) TaskID { return TaskID(info.GetTaskId().GetValue()) }

func (s *State) framework(id FrameworkID) *FrameworkState {
	i, found := slices.BinarySearchFunc(s.Frameworks, id, func(f FrameworkState, id FrameworkID) int {
		return cmp.Compare(frameworkID(f.Info), id)
	})
	if !found {
		value := string(id)
		info := &mesos.FrameworkInfo{Id: &mesos.FrameworkID{Value: &value}}
		s.Frameworks = slices.Insert(s.Frameworks, i, FrameworkState{Info: info})
	}
	return &s.Frameworks[i]
}

func (s *State) run(run Run) *ExecutorState {
	f := s.framework(run.Key.Framework)
	i, found := slices.BinarySearchFunc(f.Executors, run, func(e ExecutorState, run Run) int {
		return cmp.Or(cmp.Compare(e.Run.Key.Executor, run.Key.Executor), cmp.Compare(e.Run.Container, run.Container))
	})
	if !found {
		f.Executors = slices.Insert(f.Executors, i, ExecutorState{Run: run})
	}
	return &f.Executors[i]
}

func (s *State) task(run Run, id TaskID) *TaskState {
	e := s.run(run)
	i, found := slices.BinarySearchFunc(e.Tasks, id, func(t TaskState, id TaskID) int {
		return cmp.Compare(taskID(t.Info), id)
	})
	if !found {
		value := string(id)
		e.Tasks = slices.Insert(e.Tasks, i, TaskState{Info: &mesos.TaskInfo{TaskId: &mesos.TaskID{Value: &value}}})
	}
	return &e.Tasks[i]
}

func (s *State) forgetCompleted(id containerizer.ID) {
	s.Completed = slices.DeleteFunc(slices.Clone(s.Completed), func(c *CompletedExecutor) bool { return c.Run.Container == id })
}
