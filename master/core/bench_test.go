package core

import (
	"fmt"
	"testing"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/registry"
)

// BenchmarkTaskLife is one task from ACCEPT to the acknowledgement of TASK_RUNNING, with a
// snapshot after every hundred.
func BenchmarkTaskLife(b *testing.B) {
	const agents = 1000
	c := New(testConfig())
	c.Step(testStart, Elected{Contents: registry.NewContents()})
	info := &mesos.FrameworkInfo{User: ptr("u"), Name: ptr("f"), Roles: []string{"web"}, Capabilities: []*mesos.FrameworkInfo_Capability{
		{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}}
	c.Step(testStart, FrameworkSubscribed{Conn: 1, Call: &scheduler.Call_Subscribe{FrameworkInfo: info}})
	for i := range agents {
		c.Step(testStart, AgentLinkOpened{Link: LinkID(i + 1), IP: "10.0.0.1"})
		c.Step(testStart, AgentMessage{Link: LinkID(i + 1), Message: &link.FromAgent{Message: &link.FromAgent_Register{
			Register: &link.Register{Agent: agentInfo("", fmt.Sprint("h", i), "cpus:1000000;mem:100000000"), Version: ptr("1")}}}})
		c.Step(testStart, RegistryDone{ID: PersistID(i + 1)})
	}
	const perOffer = 10
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		agent := i % agents
		id := AgentID(fmt.Sprintf("m-S%d", agent))
		c.Step(testStart, Offered{Offers: []AllocatorOffer{{Framework: "m-0000", Role: "web", Agent: id,
			Resources: parseResources("cpus:1;mem:320", "")}}})
		offer := fmt.Sprintf("m-O%d", i)
		var tasks []*mesos.TaskInfo
		for n := range perOffer {
			name := fmt.Sprintf("t-%d-%d", i, n)
			tasks = append(tasks, &mesos.TaskInfo{Name: &name, TaskId: taskID(TaskID(name)), AgentId: agentID(id),
				Resources: parseResources("cpus:0.1;mem:32", ""), Command: &mesos.CommandInfo{Value: ptr("true")}})
		}
		c.Step(testStart, SchedulerCall{Conn: 1, Call: &scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), FrameworkId: frameworkID("m-0000"),
			Accept: &scheduler.Call_Accept{OfferIds: []*mesos.OfferID{offerID(OfferID(offer))}, Operations: []*mesos.Offer_Operation{{
				Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: tasks}}}}}})
		for n := range perOffer {
			uuid := scriptUUID(fmt.Sprint(i, n))
			c.Step(testStart, AgentMessage{Link: LinkID(agent + 1), Message: &link.FromAgent{Message: &link.FromAgent_StatusUpdate{
				StatusUpdate: &link.StatusUpdate{FrameworkId: frameworkID("m-0000"), AgentId: agentID(id), Status: &mesos.TaskStatus{
					TaskId: tasks[n].TaskId, State: mesos.TaskState_TASK_RUNNING.Enum(), Uuid: uuid}}}}})
			c.Step(testStart, SchedulerCall{Conn: 1, Call: &scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE.Enum(), FrameworkId: frameworkID("m-0000"),
				Acknowledge: &scheduler.Call_Acknowledge{AgentId: agentID(id), TaskId: tasks[n].TaskId, Uuid: uuid}}})
		}
		if i%10 == 0 {
			c.Snapshot()
		}
	}
	b.ReportMetric(float64(b.N*perOffer)/b.Elapsed().Seconds(), "tasks/s")
}
