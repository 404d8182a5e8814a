package master_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/mesos/v1"
	masterpb "agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/client/operator"
	client "agora.dev/agora/client/scheduler"
	"agora.dev/agora/client/simagents"
	"agora.dev/agora/master"
)

// eventually waits until check finds nothing wrong.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	err := check()
	for deadline := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(deadline); err = check() {
		<-time.After(5 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func owner(id string) *mesos.FrameworkInfo {
	return &mesos.FrameworkInfo{User: proto.String("root"), Name: proto.String("owner"), Id: &mesos.FrameworkID{Value: &id},
		Roles: []string{"web"}, FailoverTimeout: proto.Float64(600), Capabilities: []*mesos.FrameworkInfo_Capability{
			{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()},
			{Type: mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT.Enum()},
			{Type: mesos.FrameworkInfo_Capability_PARTITION_AWARE.Enum()}}}
}

// state is GET_AGENTS and GET_TASKS.
func state(t *testing.T, address string) (agents []*masterpb.Response_GetAgents_Agent, tasks *masterpb.Response_GetTasks) {
	t.Helper()
	c := operator.New(address)
	a, err := c.Master(t.Context(), &masterpb.Call{Type: masterpb.Call_GET_AGENTS.Enum()})
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Master(t.Context(), &masterpb.Call{Type: masterpb.Call_GET_TASKS.Enum()})
	if err != nil {
		t.Fatal(err)
	}
	return a.GetGetAgents().GetAgents(), b.GetGetTasks()
}

// over joins through the given kind of link.
var over = map[string]func(*master.Master) func(context.Context, int) (*agentlink.Stream, error){
	"socket": func(m *master.Master) func(context.Context, int) (*agentlink.Stream, error) {
		return func(ctx context.Context, _ int) (*agentlink.Stream, error) { return agentlink.Dial(ctx, m.Addr()) }
	},
	"memory": func(m *master.Master) func(context.Context, int) (*agentlink.Stream, error) {
		return func(context.Context, int) (*agentlink.Stream, error) { return m.Dial(), nil }
	},
}

func TestSimulatedAgentsJoinWithTheirTasksAndSayGoodbye(t *testing.T) {
	for name, dial := range over {
		t.Run(name, func(t *testing.T) {
			m := startMaster(t, master.Deps{})
			fleet, err := simagents.Join(t.Context(), simagents.Config{Dial: dial(m), Agents: 30, Tasks: 4, Completed: 3,
				Frameworks: []*mesos.FrameworkInfo{owner("owner-0"), owner("owner-1")}})
			if err != nil {
				t.Fatal(err)
			}
			defer fleet.Close()
			var tasks *masterpb.Response_GetTasks
			eventually(t, "the master shows all of them", func() error {
				var agents []*masterpb.Response_GetAgents_Agent
				if agents, tasks = state(t, m.Addr()); len(agents) != 30 || len(tasks.GetTasks()) != 116 {
					return fmt.Errorf("%d agents, %d tasks; want 30, 116", len(agents), len(tasks.GetTasks()))
				}
				return nil
			})
			owned := map[string]int{}
			for _, task := range tasks.GetTasks() {
				if task.GetState() != mesos.TaskState_TASK_RUNNING {
					t.Fatalf("task %v", task)
				}
				owned[task.GetFrameworkId().GetValue()]++
			}
			if owned["owner-0"] != 58 || owned["owner-1"] != 58 {
				t.Errorf("tasks by framework: %v", owned)
			}
			if len(tasks.GetCompletedTasks()) != 6 {
				t.Errorf("%d completed tasks, want 3 of each framework", len(tasks.GetCompletedTasks()))
			}
			fleet.Close()
			eventually(t, "no agent is left", func() error {
				if left, _ := state(t, m.Addr()); len(left) > 0 {
					return fmt.Errorf("%d agents left", len(left))
				}
				return nil
			})
		})
	}
}

// follower follows the states of tasks, and acknowledges.
type follower struct {
	mu      sync.Mutex
	states  map[string][]mesos.TaskState
	offers  chan *mesos.Offer
	started chan struct{}
	client  *client.Client
}

func (f *follower) Event(ctx context.Context, event *scheduler.Event) error {
	switch event.GetType() {
	case scheduler.Event_SUBSCRIBED:
		close(f.started)
	case scheduler.Event_OFFERS:
		for _, offer := range event.GetOffers().GetOffers() {
			select {
			case f.offers <- offer:
			default:
			}
		}
	case scheduler.Event_UPDATE:
		status := event.GetUpdate().GetStatus()
		f.mu.Lock()
		id := status.GetTaskId().GetValue()
		f.states[id] = append(f.states[id], status.GetState())
		f.mu.Unlock()
		return f.client.Call(ctx, &scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE.Enum(), Acknowledge: &scheduler.Call_Acknowledge{
			AgentId: status.AgentId, TaskId: status.TaskId, Uuid: status.Uuid}})
	}
	return nil
}

func (f *follower) Disconnected(error) {}

func (f *follower) saw(id string, want ...mesos.TaskState) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := f.states[id]; fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("states of %s: %v, want %v", id, got, want)
	}
	return nil
}

func TestTasksOfSimulatedAgentsRunAndAreKilled(t *testing.T) {
	m := startMaster(t, master.Deps{})
	f := &follower{states: map[string][]mesos.TaskState{}, offers: make(chan *mesos.Offer, 1), started: make(chan struct{}),
		client: client.New(client.Config{Masters: []string{m.Addr()}})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = f.client.Run(ctx, &scheduler.Call_Subscribe{FrameworkInfo: owner("owner-0")}, f)
	}()
	defer func() { cancel(); <-ended; f.client.Close() }()
	<-f.started
	fleet, err := simagents.Join(t.Context(), simagents.Config{Dial: over["socket"](m), Agents: 1, Tasks: 1,
		Frameworks: []*mesos.FrameworkInfo{owner("owner-0")}, Latency: time.Millisecond, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	offer := <-f.offers
	launch := &mesos.TaskInfo{Name: proto.String("t"), TaskId: &mesos.TaskID{Value: proto.String("launched")}, AgentId: offer.AgentId,
		Resources: []*mesos.Resource{simagents.Scalar("cpus", 1), simagents.Scalar("mem", 32)},
		Command:   &mesos.CommandInfo{Value: proto.String("true")}}
	if err := f.client.Call(t.Context(), &scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), Accept: &scheduler.Call_Accept{
		OfferIds: []*mesos.OfferID{offer.Id}, Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(),
			Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{launch}}}}}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the task runs", func() error { return f.saw("launched", mesos.TaskState_TASK_RUNNING) })
	for _, id := range []string{"launched", simagents.TaskID(0, 0)} {
		if err := f.client.Call(t.Context(), &scheduler.Call{Type: scheduler.Call_KILL.Enum(), Kill: &scheduler.Call_Kill{
			TaskId: &mesos.TaskID{Value: &id}, AgentId: offer.AgentId}}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "both tasks are killed", func() error {
		if err := f.saw("launched", mesos.TaskState_TASK_RUNNING, mesos.TaskState_TASK_KILLED); err != nil {
			return err
		}
		return f.saw(simagents.TaskID(0, 0), mesos.TaskState_TASK_KILLED)
	})
	if _, tasks := state(t, m.Addr()); len(tasks.GetTasks()) != 0 {
		t.Errorf("tasks left: %v", tasks.GetTasks())
	}
}

// taskStates reads /state: the state of each task.
func taskStates(t *testing.T, address string) map[string]string {
	t.Helper()
	body, err := operator.New(address).Get(t.Context(), "/state")
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		Frameworks []struct{ Tasks []struct{ ID, State string } }
	}
	if err := json.Unmarshal(body, &state); err != nil {
		t.Fatalf("/state: %v in %s", err, body)
	}
	states := map[string]string{}
	for _, framework := range state.Frameworks {
		for _, task := range framework.Tasks {
			states[task.ID] = task.State
		}
	}
	return states
}

func TestStateTellsOfChangesBetweenTwoReads(t *testing.T) {
	m := startMaster(t, master.Deps{})
	fleet, err := simagents.Join(t.Context(), simagents.Config{Dial: over["memory"](m), Agents: 2, Tasks: 3,
		Frameworks: []*mesos.FrameworkInfo{owner("owner-0"), owner("owner-1")}})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	var first map[string]string
	eventually(t, "the master shows all tasks", func() error {
		if first = taskStates(t, m.Addr()); len(first) != 6 {
			return fmt.Errorf("tasks: %v", first)
		}
		return nil
	})
	if again := taskStates(t, m.Addr()); !maps.Equal(first, again) {
		t.Fatalf("read twice: %v, then %v", first, again)
	}
	if err := fleet.Update(1, 1, mesos.TaskState_TASK_KILLING); err != nil {
		t.Fatal(err)
	}
	want := maps.Clone(first)
	want[simagents.TaskID(1, 1)] = "TASK_KILLING"
	eventually(t, "the changed task and no other is told", func() error {
		if got := taskStates(t, m.Addr()); !maps.Equal(got, want) {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		return nil
	})
}

func TestSimulatedAgentIsDrainedAndReactivated(t *testing.T) {
	m := startMaster(t, master.Deps{})
	fleet, err := simagents.Join(t.Context(), simagents.Config{Dial: over["memory"](m), Agents: 1, Frameworks: []*mesos.FrameworkInfo{owner("owner-0")}})
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	var id *mesos.AgentID
	eventually(t, "the agent is listed", func() error {
		agents, _ := state(t, m.Addr())
		if len(agents) != 1 {
			return fmt.Errorf("%d agents", len(agents))
		}
		id = agents[0].GetAgentInfo().GetId()
		return nil
	})
	call := func(call *masterpb.Call) {
		t.Helper()
		if _, err := operator.New(m.Addr()).Master(t.Context(), call); err != nil {
			t.Fatal(err)
		}
	}
	call(&masterpb.Call{Type: masterpb.Call_DRAIN_AGENT.Enum(), DrainAgent: &masterpb.Call_DrainAgent{AgentId: id}})
	reaches := func(want string) {
		t.Helper()
		eventually(t, want, func() error {
			agents, _ := state(t, m.Addr())
			if got := agents[0].GetDrainInfo().GetState().String(); got != want {
				return fmt.Errorf("drain is %s", got)
			}
			return nil
		})
	}
	reaches("DRAINED")
	call(&masterpb.Call{Type: masterpb.Call_REACTIVATE_AGENT.Enum(), ReactivateAgent: &masterpb.Call_ReactivateAgent{AgentId: id}})
	reaches("UNKNOWN")
}
