package executor

import (
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	mesos "agora.dev/agora/api/mesos/v1"
	api "agora.dev/agora/api/mesos/v1/executor"
)

// pending is what the agent may not know any more after a restart: tasks of which no update was
// acknowledged, and updates that were not. Mesos docs/executor-http-api.md, recovery.
type pending struct {
	mu        sync.Mutex
	connected bool
	tasks     []*mesos.TaskInfo
	updates   []*api.Call_Update
}

func newPending() *pending { return &pending{} }

// subscription is the body of the next SUBSCRIBE.
func (p *pending) subscription() *api.Call_Subscribe {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &api.Call_Subscribe{UnacknowledgedTasks: slices.Clone(p.tasks), UnacknowledgedUpdates: slices.Clone(p.updates)}
}

// happened follows the events of the agent.
func (p *pending) happened(event *api.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch event.GetType() {
	case api.Event_SUBSCRIBED:
		p.connected = true
	case api.Event_LAUNCH:
		p.tasks = append(p.tasks, event.GetLaunch().GetTask())
	case api.Event_LAUNCH_GROUP:
		p.tasks = append(p.tasks, event.GetLaunchGroup().GetTaskGroup().GetTasks()...)
	case api.Event_ACKNOWLEDGED:
		ack := event.GetAcknowledged()
		p.drop(ack.GetUuid())
		p.tasks = slices.DeleteFunc(p.tasks, func(t *mesos.TaskInfo) bool {
			return t.GetTaskId().GetValue() == ack.GetTaskId().GetValue()
		})
	}
}

// calling remembers an update before it is sent, and reports whether there is a subscription to
// send it on.
func (p *pending) calling(call *api.Call) (connected bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if call.GetType() == api.Call_UPDATE {
		p.drop(call.GetUpdate().GetStatus().GetUuid()) // the same update sent again
		p.updates = append(p.updates, proto.CloneOf(call.GetUpdate()))
	}
	return p.connected
}

// refused forgets an update that no agent will take.
func (p *pending) refused(call *api.Call) {
	if call.GetType() != api.Call_UPDATE {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(call.GetUpdate().GetStatus().GetUuid())
}

func (p *pending) drop(uuid []byte) {
	p.updates = slices.DeleteFunc(p.updates, func(u *api.Call_Update) bool {
		return slices.Equal(u.GetStatus().GetUuid(), uuid)
	})
}

func (p *pending) disconnected() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connected = false
}
