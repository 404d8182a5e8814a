package core

import (
	"slices"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/secrets"
)

// complete moves a task whose terminal update was acknowledged to the past.
func (c *Core) complete(t *task) {
	e := t.exec
	delete(e.tasks, taskID(t.info))
	c.pass(e, t.proto)
	c.collect(e)
}

// pass lists a task among the completed ones of its executor, and forgets what is on disk of its life.
func (c *Core) pass(e *executorRun, t *mesos.Task) {
	id := TaskID(t.GetTaskId().GetValue())
	known := e.lists(id) // an agent died between listing and forgetting
	if !known {
		e.completed = c.newest(append(e.completed, t))
	}
	if known || e.kind == Command { // whose executor is kept with its task in a moment
		c.persist(RemoveTask{Run: e.run, Task: id})
		return
	}
	write := CompleteTask{Run: e.run, Task: t}
	if e.recorded++; e.recorded > 2*c.config.Limits.CompletedTasks {
		write.Kept, e.recorded = e.completed, len(e.completed)
	}
	c.persist(write)
}

// newest are the completed tasks of an executor that are listed.
func (c *Core) newest(tasks []*mesos.Task) []*mesos.Task {
	if over := len(tasks) - c.config.Limits.CompletedTasks; over > 0 {
		return append(tasks[:0:0], tasks[over:]...)
	}
	return tasks
}

// lists reports whether a task is among the completed ones of an executor.
func (e *executorRun) lists(id TaskID) bool {
	return slices.ContainsFunc(e.completed, func(t *mesos.Task) bool { return t.GetTaskId().GetValue() == string(id) })
}

// collect forgets an ended executor once all its updates are acknowledged.
func (c *Core) collect(e *executorRun) {
	f := e.framework
	if e.state != terminated || f.executors[e.run.Key.Executor] != e {
		return
	}
	if f.terminating {
		for _, id := range sorted(e.tasks) {
			e.completed = append(e.completed, e.tasks[id].proto)
		}
		clear(e.tasks)
		e.completed = c.newest(e.completed)
	}
	if len(e.tasks) > 0 {
		return
	}
	delete(f.executors, e.run.Key.Executor)
	e.builtin = nil
	c.keep(e)
	c.persist(RemoveExecutor{Run: e.run})
	c.send(ForgetSandbox{Executor: e.run.Key, Container: e.run.Container, Sandbox: c.sandbox(e, e.run.Container),
		AtOnce: e.removable()})
	if over := len(f.completed) - c.config.Limits.CompletedExecutors; over > 0 {
		c.unlist(f.completed[:over])
		f.completed = append(f.completed[:0:0], f.completed[over:]...)
	}
	c.collectFramework(f)
	c.boundPast()
}

// boundPast forgets completed executors, the oldest first, while more of their tasks are listed than an agent keeps.
func (c *Core) boundPast() {
	over := -c.config.Limits.PastTasks
	all := slices.Clone(c.completed)
	for _, id := range sorted(c.frameworks) {
		all = append(all, c.frameworks[id])
	}
	for _, f := range all {
		for _, e := range f.completed {
			over += len(e.completed)
		}
	}
	for _, f := range all {
		n := 0
		for ; over > 0 && n < len(f.completed); n++ {
			over -= len(f.completed[n].completed)
		}
		if n > 0 {
			c.unlist(f.completed[:n])
			f.completed = append(f.completed[:0:0], f.completed[n:]...)
		}
	}
}

// keep lists an executor among the completed ones, for a restarted agent, too, unless its sandbox goes
// at once.
func (c *Core) keep(e *executorRun) {
	f := e.framework
	for _, have := range f.completed {
		if have.run.Container == e.run.Container {
			return // an agent died between keeping and removing
		}
	}
	f.completed = append(f.completed, e)
	if !e.removable() {
		c.persist(WriteCompleted{&CompletedExecutor{Run: e.run, Kind: e.kind, Framework: f.info,
			Info: secrets.WithoutExecutor(e.info), Tasks: e.completed, At: c.now}})
	}
}

// unlist forgets what is written of completed executors.
func (c *Core) unlist(list []*executorRun) {
	for _, e := range list {
		c.persist(ForgetCompleted{Container: e.run.Container})
	}
}

// recoverCompleted lists an executor that an earlier process had completed. Frameworks that are
// recovered later take over what belongs to them.
func (c *Core) recoverCompleted(s *CompletedExecutor) {
	id := frameworkID(s.Framework)
	f := c.takeCompleted(id)
	if f == nil {
		f = &framework{id: id, executors: map[ExecutorID]*executorRun{}}
	}
	f.info = s.Framework
	f.completed = append(f.completed, &executorRun{run: s.Run, kind: s.Kind, info: s.Info, framework: f, state: terminated,
		completed: s.Tasks})
	c.completed = append(c.completed, f)
}

// takeCompleted takes a framework out of the completed ones; nil when it is not there.
func (c *Core) takeCompleted(id FrameworkID) *framework {
	for i, f := range c.completed {
		if f.id == id {
			c.completed = append(c.completed[:i:i], c.completed[i+1:]...)
			return f
		}
	}
	return nil
}

// removable reports whether all tasks of an executor asked for the removal of the sandbox.
func (e *executorRun) removable() bool {
	for _, t := range e.completed {
		if !hasLabel(t.GetLabels(), RemoveSandboxLabel) {
			return false
		}
	}
	return len(e.completed) > 0
}

func hasLabel(labels *mesos.Labels, key string) bool {
	for _, label := range labels.GetLabels() {
		if label.GetKey() == key {
			return true
		}
	}
	return false
}

// collectFramework forgets a framework that has no executor left.
func (c *Core) collectFramework(f *framework) {
	if len(f.executors) > 0 || f.recovering || c.frameworks[f.id] != f {
		return
	}
	delete(c.frameworks, f.id)
	c.persist(RemoveFramework{Framework: f.id})
	c.completed = append(c.completed, f)
	if over := len(c.completed) - c.config.Limits.CompletedFrameworks; over > 0 {
		for _, old := range c.completed[:over] {
			c.unlist(old.completed)
		}
		c.completed = append(c.completed[:0:0], c.completed[over:]...)
	}
}

// takeOver adds what is listed of an earlier life of the framework; old may be nil.
func (f *framework) takeOver(old *framework) {
	if old == nil {
		return
	}
	f.completed = old.completed
	for _, e := range f.completed {
		e.framework = f
	}
}
