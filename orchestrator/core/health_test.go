package core_test

import (
	"testing"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/orchestrator/core"
)

// checkedApp is web with a health check, whose configuration is told apart by cmd.
func checkedApp(instances int, cmd string) map[string]any {
	app := web(instances)
	app["cmd"] = cmd
	app["healthChecks"] = []any{map[string]any{"protocol": "MESOS_HTTP", "path": "/health", "intervalSeconds": 1}}
	app["upgradeStrategy"] = map[string]any{"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0}
	return app
}

// health makes the health check of a task say something.
func (w *world) health(id string, healthy bool) {
	w.status(id, w.tasks[id].agent, mesos.TaskState_TASK_RUNNING, "u")
	status := w.inbox[len(w.inbox)-1].(core.Update).Status
	status.Healthy, status.Reason = &healthy, mesos.TaskStatus_REASON_TASK_HEALTH_CHECK_STATUS_UPDATED.Enum()
}

func TestADeploymentWaitsForHealthAndKeepsItsMinimumHealthCapacity(t *testing.T) {
	w := newWorld(t)
	w.change(core.Create, checkedApp(4, "one"))
	w.run(5 * time.Second)
	if v := w.view(); len(v.Deployments) != 1 || v.Apps[0].TasksRunning != 4 || v.Apps[0].TasksHealthy != 0 {
		t.Fatalf("tasks run and none is healthy, yet the deployment has ended: %+v", v)
	}
	old := map[string]bool{}
	for id := range w.tasks {
		old[id] = true
		w.health(id, true)
	}
	w.run(2 * time.Second)
	if v := w.view(); len(v.Deployments) != 0 || v.Apps[0].TasksHealthy != 4 {
		t.Fatalf("all are healthy, yet the deployment goes on: %+v", v)
	}
	w.change(core.Upsert, checkedApp(4, "two"))
	for range 10 {
		w.run(2 * time.Second)
		serving, fresh := 0, ""
		for id := range w.tasks {
			if old[id] {
				serving++
			} else if fresh == "" && w.freshHealth(id) == nil {
				fresh = id
			}
			if h := w.freshHealth(id); h != nil && *h && !old[id] {
				serving++
			}
		}
		if serving < 2 {
			t.Fatalf("%d of 4 serve, want 2 at least", serving)
		}
		if fresh != "" {
			w.health(fresh, true)
		}
	}
	w.run(2 * time.Second)
	if v := w.view(); len(v.Deployments) != 0 || v.Apps[0].TasksHealthy != 4 || len(w.tasks) != 4 {
		t.Fatalf("the replacement has not ended: %+v", v)
	}
	for id := range w.tasks {
		if old[id] {
			t.Errorf("old task %s is left", id)
		}
	}
}

// freshHealth is what the orchestrator knows of a task's health.
func (w *world) freshHealth(id string) *bool {
	for _, task := range w.view().Tasks {
		if task.ID == id && len(task.HealthCheckResults) > 0 {
			return &task.HealthCheckResults[0].Alive
		}
	}
	return nil
}

func TestATaskKilledForItsHealthIsReplacedAfterAPause(t *testing.T) {
	w := newWorld(t)
	app := checkedApp(1, "one")
	app["backoffSeconds"] = 30
	w.change(core.Create, app)
	w.run(2 * time.Second)
	w.expectTasks(1)
	for id, task := range w.tasks {
		w.health(id, false)
		w.run(time.Second)
		if v := w.view(); v.Apps[0].TasksUnhealthy != 1 || v.Tasks[0].HealthCheckResults[0].ConsecutiveFailures != 1 {
			t.Fatalf("an unhealthy task is not shown: %+v", v.Apps[0])
		}
		delete(w.tasks, id)
		ill := false
		w.status(id, task.agent, mesos.TaskState_TASK_KILLED, "u")
		w.inbox[len(w.inbox)-1].(core.Update).Status.Healthy = &ill
	}
	w.run(20 * time.Second)
	w.expectTasks(0)
	w.run(20 * time.Second)
	w.expectTasks(1)
	if failure := w.view().Apps[0].LastTaskFailure; failure == nil || failure.State != "TASK_KILLED" {
		t.Errorf("last failure: %+v", failure)
	}
}

func TestARestartedOrchestratorRemembersHealth(t *testing.T) {
	w := newWorld(t)
	w.change(core.Create, checkedApp(2, "one"))
	w.run(2 * time.Second)
	for id := range w.tasks {
		w.health(id, true)
	}
	w.run(2 * time.Second)
	w.start()
	w.run(2 * time.Second)
	if v := w.view(); v.Apps[0].TasksHealthy != 2 || len(v.Deployments) != 0 {
		t.Errorf("after a restart: %+v", v.Apps[0])
	}
}
