package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
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

// borrower is a framework that runs one task on revocable resources, and one on others.
type borrower struct {
	client *scheduler.Client

	mu       sync.Mutex
	launched map[string]bool
	last     map[string]*mesos.TaskStatus
}

func startBorrower(t *testing.T, master string) *borrower {
	t.Helper()
	b := &borrower{client: scheduler.New(scheduler.Config{Masters: []string{master}, MediaType: codec.JSON}),
		launched: map[string]bool{}, last: map[string]*mesos.TaskStatus{}}
	info := &mesos.FrameworkInfo{User: proto.String("root"), Name: proto.String("borrower"), Roles: []string{"*"}}
	for _, c := range []mesos.FrameworkInfo_Capability_Type{mesos.FrameworkInfo_Capability_MULTI_ROLE,
		mesos.FrameworkInfo_Capability_REVOCABLE_RESOURCES, mesos.FrameworkInfo_Capability_PARTITION_AWARE} {
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: c.Enum()})
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.client.Run(ctx, &api.Call_Subscribe{FrameworkInfo: info}, b)
	}()
	t.Cleanup(func() {
		_ = b.client.Call(ctx, &api.Call{Type: api.Call_TEARDOWN.Enum(), FrameworkId: b.client.FrameworkID()})
		cancel()
		<-done
		b.client.Close()
	})
	return b
}

func (b *borrower) Event(ctx context.Context, event *api.Event) error {
	for _, offer := range event.GetOffers().GetOffers() {
		accept := &api.Call_Accept{OfferIds: []*mesos.OfferID{offer.Id}, Filters: &mesos.Filters{RefuseSeconds: proto.Float64(0.1)}}
		for _, kind := range []string{"firm", "soft"} {
			if task := b.task(offer, kind); task != nil {
				accept.Operations = append(accept.Operations, &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(),
					Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{task}}})
			}
		}
		if err := b.client.Call(ctx, &api.Call{Type: api.Call_ACCEPT.Enum(), Accept: accept}); err != nil {
			return err
		}
	}
	status := event.GetUpdate().GetStatus()
	if status == nil {
		return nil
	}
	b.mu.Lock()
	b.last[status.GetTaskId().GetValue()] = status
	b.mu.Unlock()
	return b.client.Call(ctx, &api.Call{Type: api.Call_ACKNOWLEDGE.Enum(), Acknowledge: &api.Call_Acknowledge{
		AgentId: status.AgentId, TaskId: status.TaskId, Uuid: status.Uuid}})
}

func (b *borrower) Disconnected(error) {}

// task makes the task of a kind, once, when an offer has what it needs.
func (b *borrower) task(offer *mesos.Offer, kind string) *mesos.TaskInfo {
	have := map[string]bool{}
	for _, r := range offer.GetResources() {
		if (r.Revocable != nil) == (kind == "soft") && r.GetScalar().GetValue() >= 0.5 {
			have[r.GetName()] = true
		}
	}
	if b.launched[kind] || !have["cpus"] || !have["mem"] {
		return nil
	}
	b.launched[kind] = true
	resources := []*mesos.Resource{scalar("cpus", 0.5), scalar("mem", 32)}
	for _, r := range resources {
		if kind == "soft" {
			r.Revocable = &mesos.Resource_RevocableInfo{}
		}
	}
	return &mesos.TaskInfo{Name: &kind, TaskId: &mesos.TaskID{Value: &kind}, AgentId: offer.GetAgentId(), Resources: resources,
		Command: &mesos.CommandInfo{Value: proto.String("exec sleep 1000" + map[string]string{"firm": "1", "soft": "2"}[kind])}}
}

func (b *borrower) is(id string, want mesos.TaskState) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last[id].GetState() != want {
		return fmt.Errorf("task %s is %v, want %v", id, b.last[id], want)
	}
	return nil
}

// fakeProc is a machine whose state the test decides.
func fakeProc(t *testing.T) (dir string, stall func(percent float64)) {
	t.Helper()
	dir = t.TempDir()
	write := func(name, content string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write("loadavg", "0.10 0.10 0.10 1/100 1000\n")
	write("meminfo", "MemTotal: 1000000 kB\nMemFree: 500000 kB\nMemAvailable: 600000 kB\n")
	write("pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
	stall = func(percent float64) {
		write("pressure/memory", fmt.Sprintf("some avg10=%.2f avg60=0.00 avg300=0.00 total=0\nfull avg10=%.2f avg60=0.00 avg300=0.00 total=0\n", percent, percent))
	}
	stall(0)
	return dir, stall
}

func TestATaskOnRevocableResourcesGoesUnderPressure(t *testing.T) {
	needRoot(t)
	c := &cluster{t: t, masterPort: freePort(t), agentPort: freePort(t), masterDir: t.TempDir(), agentDir: t.TempDir()}
	interfaces := countInterfaces(t)
	t.Cleanup(func() { givenBack(t, interfaces, c.agentDir) })
	proc, stall := fakeProc(t)
	c.startMaster()
	c.startAgent("--resource_estimator=fixed", "--resource_estimator_parameters=resources=cpus:2;mem:128",
		"--oversubscribed_resources_interval=1secs", "--qos_controller=pressure", "--qos_controller_parameters=procfs="+proc)
	b := startBorrower(t, c.addr())
	for _, id := range []string{"firm", "soft"} {
		eventually(t, id+" runs", 30*time.Second, func() error { return b.is(id, mesos.TaskState_TASK_RUNNING) })
	}
	if cpus := c.ofAgent(t)["resources"].(map[string]any)["cpus_revocable"]; cpus != 2.0 {
		t.Errorf("/slaves has %v revocable CPUs, want 2", cpus)
	}
	firm, err := pidOf("sleep 10001")
	if err != nil {
		t.Fatal(err)
	}
	stall(50)
	eventually(t, "soft is gone", 30*time.Second, func() error { return b.is("soft", mesos.TaskState_TASK_GONE) })
	b.mu.Lock()
	status := b.last["soft"]
	b.mu.Unlock()
	if status.GetReason() != mesos.TaskStatus_REASON_CONTAINER_PREEMPTED ||
		status.GetMessage() != "Container preempted by QoS correction: everything waited for memory 50.0% of the time, more than 10%" {
		t.Errorf("got %v", status)
	}
	if _, err := pidOf("sleep 10002"); err == nil {
		t.Error("the process of soft lives")
	}
	// The controller has looked again, and more than once, when the estimate counts what soft gave back.
	eventually(t, "the resources of soft are back", 30*time.Second, func() error {
		if used := c.ofAgent(t)["used_resources"].(map[string]any)["cpus_revocable"]; used != nil {
			return fmt.Errorf("%v revocable CPUs are used", used)
		}
		return nil
	})
	figures, err := get(fmt.Sprintf("http://127.0.0.1:%d/metrics/snapshot", c.agentPort))
	if err != nil {
		t.Fatal(err)
	}
	var metrics map[string]float64
	if err := json.Unmarshal([]byte(figures), &metrics); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"slave/executors_preempted": 1, "slave/executors_running": 1,
		"slave/cpus_revocable_total": 2, "slave/cpus_revocable_used": 0, "slave/cpus_used": 0.5} {
		if metrics[name] != want {
			t.Errorf("%s is %v, want %v", name, metrics[name], want)
		}
	}
	if again, err := pidOf("sleep 10001"); err != nil || again != firm || b.is("firm", mesos.TaskState_TASK_RUNNING) != nil {
		t.Errorf("firm was touched: process %d, was %d, %v", again, firm, err)
	}
}

// ofAgent is the agent's entry in /slaves.
func (c *cluster) ofAgent(t *testing.T) map[string]any {
	t.Helper()
	text, err := get("http://" + c.addr() + "/slaves")
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Slaves []map[string]any }
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Slaves) != 1 {
		t.Fatalf("/slaves: %v in %s", err, text)
	}
	return list.Slaves[0]
}
