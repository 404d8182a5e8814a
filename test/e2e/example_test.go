package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	api "agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/client/scheduler"
)

// small is a framework that takes the first offer for one operation, acknowledges every
// update and remembers the states.
type small struct {
	client    *scheduler.Client
	operation func(*mesos.Offer, *mesos.FrameworkID) *mesos.Offer_Operation

	mu       sync.Mutex
	launched bool
	states   map[string][]mesos.TaskState
	last     map[string]*mesos.TaskStatus
}

func (s *small) Event(ctx context.Context, event *api.Event) error {
	switch event.GetType() {
	case api.Event_OFFERS:
		for _, offer := range event.GetOffers().GetOffers() {
			accept := &api.Call_Accept{OfferIds: []*mesos.OfferID{offer.Id}}
			if !s.launched {
				s.launched = true
				accept.Operations = []*mesos.Offer_Operation{s.operation(offer, s.client.FrameworkID())}
			}
			if err := s.client.Call(ctx, &api.Call{Type: api.Call_ACCEPT.Enum(), Accept: accept}); err != nil {
				return err
			}
		}
	case api.Event_UPDATE:
		status := event.GetUpdate().GetStatus()
		s.mu.Lock()
		id := status.GetTaskId().GetValue()
		s.states[id] = append(s.states[id], status.GetState())
		s.last[id] = status
		s.mu.Unlock()
		if len(status.GetUuid()) > 0 {
			return s.client.Call(ctx, &api.Call{Type: api.Call_ACKNOWLEDGE.Enum(), Acknowledge: &api.Call_Acknowledge{
				AgentId: status.AgentId, TaskId: status.TaskId, Uuid: status.Uuid}})
		}
	}
	return nil
}

func (s *small) Disconnected(error) {}

// reached fails until a task's last state is want.
func (s *small) reached(id string, want mesos.TaskState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if states := s.states[id]; len(states) == 0 || states[len(states)-1] != want {
		return fmt.Errorf("task %s: %v, want %v", id, s.states, want)
	}
	return nil
}

func startSmall(t *testing.T, d *dev, media codec.MediaType, operation func(*mesos.Offer, *mesos.FrameworkID) *mesos.Offer_Operation) *small {
	t.Helper()
	s := &small{client: scheduler.New(scheduler.Config{Masters: []string{d.master}, MediaType: media}), operation: operation,
		states: map[string][]mesos.TaskState{}, last: map[string]*mesos.TaskStatus{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.client.Run(ctx, &api.Call_Subscribe{FrameworkInfo: &mesos.FrameworkInfo{User: proto.String("root"), Name: proto.String("small"),
			Roles: []string{"*"}, Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}}}, s)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("framework: %v", err)
		}
		s.client.Close()
	})
	return s
}

func scalar(name string, value float64) *mesos.Resource {
	return &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &value},
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: proto.String("*")}}
}

func TestTheExampleExecutorRunsATask(t *testing.T) {
	needRoot(t)
	path := filepath.Join(t.TempDir(), "custom-executor")
	build := exec.Command("go", "build", "-o", path, "../../examples/custom-executor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, out)
	}
	s := startSmall(t, startDev(t), codec.Protobuf, func(offer *mesos.Offer, framework *mesos.FrameworkID) *mesos.Offer_Operation {
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{
			TaskInfos: []*mesos.TaskInfo{{Name: proto.String("count"), TaskId: &mesos.TaskID{Value: proto.String("count")}, AgentId: offer.AgentId,
				Resources: []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32)}, Data: []byte("2"),
				Executor: &mesos.ExecutorInfo{Type: mesos.ExecutorInfo_CUSTOM.Enum(), ExecutorId: &mesos.ExecutorID{Value: proto.String("counter")},
					FrameworkId: framework, Command: &mesos.CommandInfo{Value: &path},
					Resources: []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32)}}}}}}
	})
	eventually(t, "the task finishes", 20*time.Second, func() error { return s.reached("count", mesos.TaskState_TASK_FINISHED) })
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := s.states["count"]; len(got) < 2 || got[len(got)-2] != mesos.TaskState_TASK_RUNNING {
		t.Errorf("states %v; want RUNNING, FINISHED at the end", got)
	}
}
