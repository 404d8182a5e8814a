package main

import (
	"fmt"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	schedulerpb "agora.dev/agora/api/mesos/v1/scheduler"
)

// patience bounds the wait for any one event.
const patience = 60 * time.Second

// wait returns the first event of a type; updates among the others are acknowledged.
func (c *cluster) wait(kind schedulerpb.Event_Type) (*schedulerpb.Event, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case event := <-c.events:
			if event.GetType() == schedulerpb.Event_ERROR {
				return nil, fmt.Errorf("master: %s", event.GetError().GetMessage())
			}
			if event.GetType() == kind {
				return event, nil
			}
			if c.holds && event.GetType() == schedulerpb.Event_OFFERS {
				c.held = append(c.held, event.GetOffers().GetOffers()...)
			}
		case err := <-c.ended:
			return nil, fmt.Errorf("subscription ended: %w", err)
		case <-timeout.C:
			return nil, fmt.Errorf("no %s for %s", kind, patience)
		}
	}
}

// launch accepts the next offer for n tasks and returns them with the time of the ACCEPT.
func (c *cluster) launch(n int) ([]*mesos.TaskInfo, time.Time, error) {
	return c.launchEach(n, func(*mesos.TaskInfo) {})
}

// launchEach is launch with tasks that shape has changed.
func (c *cluster) launchEach(n int, shape func(*mesos.TaskInfo)) ([]*mesos.TaskInfo, time.Time, error) {
	offers, err := c.offers()
	if err != nil {
		return nil, time.Time{}, err
	}
	var ids []*mesos.OfferID
	for _, offer := range offers {
		ids = append(ids, offer.GetId())
	}
	var tasks []*mesos.TaskInfo
	for range n {
		c.next++
		tasks = append(tasks, task(fmt.Sprintf("bench-%d", c.next), offers[0].GetAgentId()))
		shape(tasks[len(tasks)-1])
	}
	start := time.Now()
	return tasks, start, c.client.Call(c.ctx, &schedulerpb.Call{Type: schedulerpb.Call_ACCEPT.Enum(), Accept: &schedulerpb.Call_Accept{
		OfferIds: ids, Filters: &mesos.Filters{RefuseSeconds: ptr(0.0)},
		Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(),
			Launch: &mesos.Offer_Operation_Launch{TaskInfos: tasks}}}}})
}

// offers are the next one or, if they are held, all that there are; some may be small remainders.
func (c *cluster) offers() ([]*mesos.Offer, error) {
	for {
		if offers := c.held; ample(offers) {
			c.held = nil
			return offers, nil
		}
		event, err := c.wait(schedulerpb.Event_OFFERS)
		if err != nil {
			return nil, err
		}
		if !c.holds {
			return event.GetOffers().GetOffers()[:1], nil
		}
		c.held = append(c.held, event.GetOffers().GetOffers()...)
	}
}

// ample reports whether there is more to offers than an ended task has left.
func ample(offers []*mesos.Offer) bool {
	sum := 0.0
	for _, offer := range offers {
		for _, r := range offer.GetResources() {
			if r.GetName() == "mem" {
				sum += r.GetScalar().GetValue()
			}
		}
	}
	return sum >= 1024
}

func task(id string, agent *mesos.AgentID) *mesos.TaskInfo {
	scalar := func(name string, value float64) *mesos.Resource {
		return &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &value}}
	}
	return &mesos.TaskInfo{Name: &id, TaskId: &mesos.TaskID{Value: &id}, AgentId: agent,
		Resources: []*mesos.Resource{scalar("cpus", 0.1), scalar("mem", 32)},
		Command:   &mesos.CommandInfo{Shell: ptr(false), Value: ptr("/bin/sleep"), Arguments: []string{"sleep", "100000"}},
		Container: &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), Mesos: &mesos.ContainerInfo_MesosInfo{
			Image: &mesos.Image{Type: mesos.Image_DOCKER.Enum(), Docker: &mesos.Image_Docker{Name: ptr(imageName)}}}}}
}

func (c *cluster) kill(task *mesos.TaskInfo) error {
	return c.client.Call(c.ctx, &schedulerpb.Call{Type: schedulerpb.Call_KILL.Enum(), Kill: &schedulerpb.Call_Kill{
		TaskId: task.GetTaskId(), AgentId: task.GetAgentId(),
		KillPolicy: &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: ptr(int64(0))}}}})
}

// update waits for the next status and acknowledges it.
func (c *cluster) update() (*mesos.TaskStatus, error) {
	event, err := c.wait(schedulerpb.Event_UPDATE)
	if err != nil {
		return nil, err
	}
	status := event.GetUpdate().GetStatus()
	if len(status.GetUuid()) == 0 {
		return status, nil
	}
	return status, c.client.Call(c.ctx, &schedulerpb.Call{Type: schedulerpb.Call_ACKNOWLEDGE.Enum(), Acknowledge: &schedulerpb.Call_Acknowledge{
		AgentId: status.GetAgentId(), TaskId: status.GetTaskId(), Uuid: status.GetUuid()}})
}

// reach waits until n tasks have reported a state, acknowledging everything.
func (c *cluster) reach(state mesos.TaskState, n int) (time.Time, error) {
	for n > 0 {
		status, err := c.update()
		at := time.Now()
		if err != nil {
			return at, fmt.Errorf("%d tasks not %s: %w", n, state, err)
		}
		switch status.GetState() {
		case state:
			if n--; n == 0 {
				return at, nil
			}
		case mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_RUNNING, mesos.TaskState_TASK_KILLING:
		default:
			return at, fmt.Errorf("task %s: %s: %s", status.GetTaskId().GetValue(), status.GetState(), status.GetMessage())
		}
	}
	return time.Now(), nil
}
