package core

import mesos "agora.dev/agora/api/mesos/v1"

// complete moves a task whose terminal update was acknowledged to the past.
func (c *Core) complete(t *task) {
	e := t.exec
	delete(e.tasks, taskID(t.info))
	e.completed = append(e.completed, t.proto)
	if over := len(e.completed) - c.config.Limits.CompletedTasks; over > 0 {
		e.completed = append(e.completed[:0:0], e.completed[over:]...)
	}
	c.collect(e)
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
	}
	if len(e.tasks) > 0 {
		return
	}
	delete(f.executors, e.run.Key.Executor)
	e.builtin = nil
	f.completed = append(f.completed, e)
	c.persist(RemoveExecutor{Run: e.run})
	c.send(ForgetSandbox{Executor: e.run.Key, Container: e.run.Container, Sandbox: c.sandbox(e, e.run.Container),
		AtOnce: e.removable()})
	if over := len(f.completed) - c.config.Limits.CompletedExecutors; over > 0 {
		f.completed = append(f.completed[:0:0], f.completed[over:]...)
	}
	c.collectFramework(f)
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
		c.completed = append(c.completed[:0:0], c.completed[over:]...)
	}
}
