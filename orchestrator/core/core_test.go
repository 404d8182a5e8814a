package core_test

import (
	"testing"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/orchestrator/core"
)

func web(instances int) map[string]any {
	return map[string]any{"id": "/web", "cmd": "sleep 1", "cpus": 0.1, "mem": 32, "instances": instances}
}

func TestAnAppIsCreatedScaledAndDeleted(t *testing.T) {
	w := newWorld(t)
	w.change(core.Create, web(3))
	w.run(5 * time.Second)
	w.expectTasks(3)
	if v := w.view(); len(v.Deployments) != 0 || v.Apps[0].TasksRunning != 3 || len(v.Queue) != 0 || w.wants {
		t.Fatalf("after the deployment: %+v, wants offers: %v", v, w.wants)
	}
	w.change(core.Upsert, map[string]any{"id": "/web", "instances": 7})
	w.run(5 * time.Second)
	w.expectTasks(7)
	w.change(core.Upsert, map[string]any{"id": "/web", "instances": 2})
	w.run(5 * time.Second)
	w.expectTasks(2)
	if a := w.ask(core.Delete{ID: "/web", Force: true}); a.Err != nil {
		t.Fatal(a.Err)
	}
	w.run(5 * time.Second)
	w.expectTasks(0)
	if v := w.view(); len(v.Apps)+len(v.Tasks)+len(v.Deployments) != 0 {
		t.Fatalf("left over: %+v", v)
	}
}

func TestWhatDiesIsRestartedEverLater(t *testing.T) {
	w := newWorld(t)
	w.change(core.Create, web(1))
	w.run(2 * time.Second)
	var pauses []time.Duration
	for range 12 {
		w.expectTasks(1)
		for id, task := range w.tasks {
			delete(w.tasks, id)
			w.status(id, task.agent, mesos.TaskState_TASK_FAILED, "u")
		}
		died := w.now
		for len(w.tasks) == 0 && w.now.Sub(died) < time.Minute {
			w.run(100 * time.Millisecond)
		}
		pauses = append(pauses, w.now.Sub(died))
		w.run(300 * time.Millisecond)
	}
	w.expectTasks(1)
	if first, last := pauses[0], pauses[11]; first < time.Second || first > 3*time.Second || last < 4*time.Second {
		t.Fatalf("pauses %v, want 1 s growing by 1.15 each", pauses)
	}
	if failure := w.view().Apps[0].LastTaskFailure; failure == nil || failure.State != "TASK_FAILED" {
		t.Fatalf("last failure %+v", failure)
	}
}

func TestANewVersionReplacesEveryInstanceWithoutFallingBelowTheMinimum(t *testing.T) {
	w := newWorld(t)
	w.change(core.Create, web(4))
	w.run(5 * time.Second)
	old := map[string]bool{}
	for id := range w.tasks {
		old[id] = true
	}
	w.change(core.Upsert, map[string]any{"id": "/web", "cmd": "sleep 2"})
	for range 300 {
		w.run(100 * time.Millisecond)
		if len(w.tasks) < 4 || len(w.tasks) > 8 {
			t.Fatalf("%d tasks during the replacement, want 4 to 8", len(w.tasks))
		}
	}
	w.expectTasks(4)
	for id := range w.tasks {
		if old[id] {
			t.Fatalf("%s is of the old version", id)
		}
	}
}

func TestARestartedOrchestratorTakesItsInstancesOver(t *testing.T) {
	w := newWorld(t)
	w.change(core.Create, web(3))
	w.run(5 * time.Second)
	before := len(w.tasks)
	for id := range w.tasks { // one dies while nobody looks
		delete(w.tasks, id)
		break
	}
	w.start()
	w.run(10 * time.Second)
	w.expectTasks(before)
	if v := w.view(); v.Apps[0].TasksRunning != 3 {
		t.Fatalf("got %+v", v.Apps[0])
	}
}

func TestAProcessThatDiesBetweenWritingAndAcceptingLaunchesNothingTwice(t *testing.T) {
	for dieAt := range 30 {
		w := newWorld(t)
		w.change(core.Create, web(5))
		w.run(time.Duration(dieAt) * 100 * time.Millisecond)
		w.loseSends = true
		w.run(200 * time.Millisecond)
		if w.wants {
			w.offer() // written down, never sent
		}
		w.start()
		w.run(30 * time.Second)
		w.expectTasks(5)
		w.change(core.Upsert, map[string]any{"id": "/web", "cmd": "sleep 3"})
		w.run(time.Duration(dieAt) * 100 * time.Millisecond)
		w.loseSends = true
		w.run(200 * time.Millisecond)
		w.start()
		w.run(60 * time.Second)
		w.expectTasks(5)
		if v := w.view(); len(v.Deployments) != 0 || v.Apps[0].TasksRunning != 5 {
			t.Fatalf("died at %d: %+v", dieAt, v)
		}
	}
}

func TestATaskThatNobodyWroteDownIsEnded(t *testing.T) {
	w := newWorld(t)
	w.tasks["ghost.instance-1._app.1"] = &task{"agent1", mesos.TaskState_TASK_RUNNING}
	w.start()
	w.run(time.Second)
	w.expectTasks(0)
}

func TestAnUnreachableInstanceIsReplacedAndEndedWhenItReturns(t *testing.T) {
	w := newWorld(t)
	w.change(core.Create, web(2))
	w.run(3 * time.Second)
	var lost string
	for id, task := range w.tasks {
		lost = id
		w.status(id, task.agent, mesos.TaskState_TASK_UNREACHABLE, "")
		break
	}
	w.run(5 * time.Second)
	w.expectTasks(3)
	w.status(lost, w.tasks[lost].agent, mesos.TaskState_TASK_RUNNING, "")
	w.run(5 * time.Second)
	w.expectTasks(2)
	if w.tasks[lost] != nil {
		t.Fatal("the one that returned still runs beside its replacement")
	}
}

func TestRefusalsAreExplainedInTheQueue(t *testing.T) {
	w := newWorld(t)
	app := web(3)
	app["constraints"] = [][]string{{"hostname", "UNIQUE"}}
	w.change(core.Create, app)
	w.run(5 * time.Second)
	w.expectTasks(2)
	v := w.view()
	if len(v.Queue) != 1 || v.Queue[0].Count != 1 || len(v.Queue[0].LastUnusedOffers) != 2 ||
		v.Queue[0].LastUnusedOffers[0].Reason[0] != "UnfulfilledConstraint" {
		t.Fatalf("queue %+v", v.Queue)
	}
}

func TestADeploymentLocksItsAppUnlessForcedAndCanBeRolledBack(t *testing.T) {
	w := newWorld(t)
	w.change(core.Create, web(2))
	w.run(5 * time.Second)
	w.agents = nil // nothing can be launched
	d := w.change(core.Upsert, map[string]any{"id": "/web", "cmd": "sleep 2"}).Deployment
	w.run(time.Second)
	a := w.ask(core.Change{Mode: core.Upsert, Bodies: []core.AppBody{{Body: []byte(`{"id":"/web","instances":1}`)}}})
	if a.Err == nil || a.Err.Code != 409 || a.Err.Deployments[0].ID != d.DeploymentID {
		t.Fatalf("got %+v, want locked by %s", a, d.DeploymentID)
	}
	if a := w.ask(core.CancelDeployment{ID: d.DeploymentID}); a.Err != nil {
		t.Fatal(a.Err)
	}
	w.run(5 * time.Second)
	w.expectTasks(2)
	if v := w.view(); len(v.Deployments) != 0 || v.Apps[0].Cmd != "sleep 1" {
		t.Fatalf("after the rollback: %+v", v)
	}
}

func TestALaunchWhoseCallIsLostIsMadeAgainSoon(t *testing.T) {
	w := newWorld(t)
	w.loseAccepts = 1
	w.change(core.Create, web(3))
	w.run(10 * time.Second)
	w.expectTasks(3)
	if v := w.view(); len(v.Tasks) != 3 || len(v.Deployments) != 0 {
		t.Fatalf("got %+v", v)
	}
}

func TestTheSameDocumentAgainRestartsNothing(t *testing.T) {
	w := newWorld(t)
	app := web(2)
	app["portDefinitions"] = []map[string]any{{"port": 0, "name": "http"}}
	w.change(core.Create, app)
	w.run(3 * time.Second)
	before := map[string]bool{}
	for id := range w.tasks {
		before[id] = true
	}
	w.change(core.Whole, app)
	w.change(core.Upsert, app)
	w.run(5 * time.Second)
	w.expectTasks(2)
	for id := range w.tasks {
		if !before[id] {
			t.Fatalf("%s was launched by a change that changes nothing", id)
		}
	}
}

// restartBesideALostAgent ends the orchestrator with two tasks on agent1, which the next
// master has heard nothing of.
func restartBesideALostAgent(t *testing.T) *world {
	w := newWorld(t)
	w.agents = []string{"agent1"}
	w.change(core.Create, web(2))
	w.run(5 * time.Second)
	w.expectTasks(2)
	w.tasks, w.awaited, w.agents, w.asked = map[string]*task{}, "agent1", []string{"agent2"}, 0
	w.start()
	w.run(time.Second)
	w.expectTasks(0)
	return w
}

func TestTasksOfAnAgentThatIsGivenUpAreReplacedAtOnce(t *testing.T) {
	w := restartBesideALostAgent(t)
	w.awaited = ""
	w.step(core.AgentLost{AgentID: "agent1"})
	w.run(2 * time.Second)
	w.expectTasks(2)
}

func TestTasksWithoutAnAnswerAreAskedForAgain(t *testing.T) {
	w := restartBesideALostAgent(t)
	w.run(3 * time.Minute)
	if w.asked < 4 || w.asked > 8 {
		t.Fatalf("asked %d times in 3 minutes, want at 0 s, 5 s, 15 s, 35 s, 75 s, 155 s", w.asked)
	}
	w.awaited = ""
	w.run(3 * time.Minute)
	w.expectTasks(2)
	w.asked = 0
	w.run(9 * time.Minute)
	if w.asked > 1 {
		t.Fatalf("asked %d times in 9 minutes although everything was answered", w.asked)
	}
}
