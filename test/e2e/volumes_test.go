package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	api "agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/client/scheduler"
)

// owner is a framework of role data that uses a volume of its role.
type owner struct {
	t      *testing.T
	client *scheduler.Client
	offers chan *api.Event
	events chan *api.Event // the others
}

func newOwner(t *testing.T, master string) *owner {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o := &owner{t: t, client: scheduler.New(scheduler.Config{Masters: []string{master}, MediaType: codec.JSON}),
		offers: make(chan *api.Event, 1000), events: make(chan *api.Event, 1000)}
	info := &mesos.FrameworkInfo{User: proto.String("root"), Name: proto.String("owner"), Roles: []string{"data"},
		FailoverTimeout: proto.Float64(3600), Checkpoint: proto.Bool(true)}
	for _, c := range []mesos.FrameworkInfo_Capability_Type{mesos.FrameworkInfo_Capability_MULTI_ROLE,
		mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT, mesos.FrameworkInfo_Capability_PARTITION_AWARE} {
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: c.Enum()})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = o.client.Run(ctx, &api.Call_Subscribe{FrameworkInfo: info}, o)
	}()
	t.Cleanup(func() {
		_ = o.client.Call(ctx, &api.Call{Type: api.Call_TEARDOWN.Enum(), FrameworkId: o.client.FrameworkID()})
		cancel()
		<-done
		o.client.Close()
	})
	return o
}

func (o *owner) Event(_ context.Context, event *api.Event) error {
	if event.GetType() == api.Event_OFFERS {
		o.offers <- event
	} else {
		o.events <- event
	}
	return nil
}

func (o *owner) Disconnected(error) {}

// call reports whether the master took a call: it may be about to die.
func (o *owner) call(call *api.Call) bool {
	call.FrameworkId = o.client.FrameworkID()
	return o.client.Call(context.Background(), call) == nil
}

// next waits for an event for which take returns true.
func (o *owner) next(what string, from chan *api.Event, take func(*api.Event) bool) {
	o.t.Helper()
	timeout := time.NewTimer(60 * time.Second)
	defer timeout.Stop()
	for {
		select {
		case event := <-from:
			if take(event) {
				return
			}
		case <-timeout.C:
			o.t.Fatalf("no %s", what)
		}
	}
}

// use waits for an offer of the volume, and accepts it with operations made for it.
func (o *owner) use(operations func(offer *mesos.Offer, volume *mesos.Resource) []*mesos.Offer_Operation) {
	o.t.Helper()
	o.next("offer of the volume", o.offers, func(event *api.Event) bool {
		for _, offer := range event.GetOffers().GetOffers() {
			for _, r := range offer.GetResources() {
				if r.GetDisk().GetPersistence().GetId() != "v" || cpus(offer) < 0.1 {
					continue
				}
				if o.call(&api.Call{Type: api.Call_ACCEPT.Enum(), Accept: &api.Call_Accept{OfferIds: []*mesos.OfferID{offer.GetId()},
					Operations: operations(offer, r), Filters: &mesos.Filters{RefuseSeconds: proto.Float64(0)}}}) {
					return true
				}
			}
			o.call(&api.Call{Type: api.Call_DECLINE.Enum(), Decline: &api.Call_Decline{OfferIds: []*mesos.OfferID{offer.GetId()},
				Filters: &mesos.Filters{RefuseSeconds: proto.Float64(0.1)}}})
		}
		return false
	})
}

func cpus(offer *mesos.Offer) (n float64) {
	for _, r := range offer.GetResources() {
		if r.GetName() == "cpus" {
			n += r.GetScalar().GetValue()
		}
	}
	return n
}

// run runs a script with the volume at "data", and waits for its end. Offers of an agent or a master
// that has died meanwhile are no good: then it tries again.
func (o *owner) run(id, script string) {
	o.t.Helper()
	for again := true; again; id += "+" {
		again = o.try(id, script) == mesos.TaskState_TASK_DROPPED
	}
}

func (o *owner) try(id, script string) (end mesos.TaskState) {
	o.t.Helper()
	o.use(func(offer *mesos.Offer, volume *mesos.Resource) []*mesos.Offer_Operation {
		scalar := func(name string, value float64) *mesos.Resource {
			return &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &value}}
		}
		task := &mesos.TaskInfo{Name: &id, TaskId: &mesos.TaskID{Value: &id}, AgentId: offer.GetAgentId(),
			Command: &mesos.CommandInfo{Value: &script}, Resources: []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32), volume}}
		return []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(),
			Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{task}}}}
	})
	o.next("end of "+id, o.events, func(event *api.Event) bool {
		status := event.GetUpdate().GetStatus()
		if status.GetUuid() != nil {
			o.call(&api.Call{Type: api.Call_ACKNOWLEDGE.Enum(), Acknowledge: &api.Call_Acknowledge{
				AgentId: status.GetAgentId(), TaskId: status.GetTaskId(), Uuid: status.GetUuid()}})
		}
		end = status.GetState()
		switch {
		case status.GetTaskId().GetValue() != id, end == mesos.TaskState_TASK_STARTING, end == mesos.TaskState_TASK_RUNNING:
			return false
		case end != mesos.TaskState_TASK_FINISHED && end != mesos.TaskState_TASK_DROPPED:
			o.t.Errorf("%s is %v: %s", id, end, status.GetMessage())
		}
		return true
	})
	return end
}

// destroy asks for the volume's end and waits for the word of it.
func (o *owner) destroy() {
	o.t.Helper()
	for again := true; again; {
		o.use(func(_ *mesos.Offer, volume *mesos.Resource) []*mesos.Offer_Operation {
			return []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_DESTROY.Enum(), Id: &mesos.OperationID{Value: proto.String("destroy")},
				Destroy: &mesos.Offer_Operation_Destroy{Volumes: []*mesos.Resource{volume}}}}
		})
		o.next("word of the destruction", o.events, func(event *api.Event) bool {
			status := event.GetUpdateOperationStatus().GetStatus()
			if status == nil {
				return false
			}
			again = status.GetState() != mesos.OperationState_OPERATION_FINISHED
			return again || o.call(&api.Call{Type: api.Call_ACKNOWLEDGE_OPERATION_STATUS.Enum(),
				AcknowledgeOperationStatus: &api.Call_AcknowledgeOperationStatus{AgentId: status.GetAgentId(),
					OperationId: status.GetOperationId(), Uuid: status.GetUuid().GetValue()}})
		})
	}
}

var agentIDPattern = regexp.MustCompile(`"id":"([^"]+-S\d+)"`)

// form posts an operation to a legacy endpoint.
func (c *cluster) form(path, field, resources string, want int) {
	c.t.Helper()
	agents, err := get("http://" + c.addr() + "/slaves")
	match := agentIDPattern.FindStringSubmatch(agents)
	if err != nil || match == nil {
		c.t.Fatalf("no agent in %s, %v", agents, err)
	}
	response, err := http.PostForm("http://"+c.addr()+path, url.Values{"slaveId": {match[1]}, field: {resources}})
	if err != nil {
		c.t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != want {
		c.t.Fatalf("%s: %s, want %d", path, response.Status, want)
	}
}

// A volume of a role lives through the deaths of agent and master, with its data and with nobody
// else getting it, until it is destroyed.
func TestPersistentVolumeSurvivesTheAgentAndTheMaster(t *testing.T) {
	const reserved = `{"name":"disk","type":"SCALAR","scalar":{"value":64},"reservations":[{"type":"DYNAMIC","role":"data"}]`
	c := startCluster(t)
	c.form("/reserve", "resources", "["+reserved+"}]", http.StatusAccepted)
	c.form("/create-volumes", "volumes", "["+reserved+
		`,"disk":{"persistence":{"id":"v"},"volume":{"mode":"RW","container_path":"data"}}}]`, http.StatusAccepted)
	c.form("/unreserve", "resources", "["+reserved+"}]", http.StatusConflict)

	o := newOwner(t, c.addr())
	o.run("write", "echo kept > data/file")
	file := filepath.Join(c.agentDir, "volumes/roles/data/v/file")
	if data, err := os.ReadFile(file); err != nil || string(data) != "kept\n" {
		t.Fatalf("the volume holds %q, %v", data, err)
	}
	c.agent.stop(syscall.SIGKILL)
	c.startAgent()
	state, err := get(fmt.Sprintf("http://127.0.0.1:%d/state", c.agentPort))
	if err != nil || !strings.Contains(state, `"reserved_resources":{"data":{`) || !strings.Contains(state, `"persistence":{"id":"v"}`) {
		t.Errorf("the agent shows no reservation: %s, %v", state, err)
	}
	o.run("read", "grep -q kept data/file && echo more >> data/file")
	c.master.stop(syscall.SIGKILL)
	c.startMaster()
	o.run("again", "grep -q more data/file")
	o.destroy()
	eventually(t, "the data is gone", 20*time.Second, func() error {
		left, err := filepath.Glob(filepath.Join(c.agentDir, "volumes/*/*/*"))
		trash, err2 := filepath.Glob(filepath.Join(c.agentDir, "volumes/removed/*"))
		if len(left)+len(trash) > 0 || err != nil || err2 != nil {
			return fmt.Errorf("%v %v", left, trash)
		}
		return nil
	})
	c.form("/unreserve", "resources", "["+reserved+"}]", http.StatusAccepted)
	eventually(t, "the agent has heard of it", 20*time.Second, func() error {
		state, err := os.ReadFile(filepath.Join(c.agentDir, "meta/resources/resources.info"))
		if err != nil || strings.Contains(string(state), "data") {
			return fmt.Errorf("%q, %v", state, err)
		}
		return nil
	})
	c.agent.stop(syscall.SIGKILL)
	c.startAgent()
	eventually(t, "nothing is reserved", 20*time.Second, func() error {
		state, err := get("http://" + c.addr() + "/slaves")
		if err != nil || !strings.Contains(state, `"reserved_resources":{}`) {
			return errors.Join(err, errors.New(state))
		}
		return nil
	})
}

func TestReservationsAndVolumesFromTheCommandLine(t *testing.T) {
	c := startCluster(t)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args string
		code int
		want string
	}{
		{"reservation add " + host + " cpus:1;mem:64 --role web", 0, "reserved cpus:1;mem:64 for role web on " + host},
		{"reservation add " + host + " cpus:99 --role web", 1, "does not contain cpus:99"},
		{"reservation add nowhere cpus:1 --role web", 3, "agora node ls"},
		{"reservation ls", 0, "dynamic"},
		{"reservation rm " + host + " mem:32 --role web", 0, "unreserved mem:32"},
		{"reservation rm " + host + " mem:64 --role web", 3, "more than role web has reserved"},
		{"volume add " + host + " db --role web --size 16 --shared", 0, "made volume db on " + host},
		{"volume ls -o json", 0, `"id": "db"`},
		{"volume ls", 0, "yes"},
		{"reservation ls -o json", 0, `"volume": "db"`},
		{"volume rm " + host + " other", 3, "no volume \"other\""},
		{"volume rm " + host + " db", 0, "unreserved disk:16 of role web"},
		{"reservation rm " + host + " --role web", 0, "unreserved"},
		{"reservation ls -o json", 0, "[]"},
		{"volume add " + host + " db --role web --size -1", 2, "--size"},
		{"volume", 2, "needs one of: add, ls, rm"},
	} {
		args := strings.Fields(step.args)
		if args[len(args)-1] == "ls" {
			args = append(args, "-o", "wide")
		}
		code, out, errOut := c.agora(args...)
		if code != step.code || !strings.Contains(out+errOut, step.want) {
			t.Fatalf("agora %s: exit %d, want %d with %q: %s%s", step.args, code, step.code, step.want, out, errOut)
		}
	}
}
