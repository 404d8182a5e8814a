package simagents

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/mesos/v1"
	api "agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/client/scheduler"
)

// farewell bounds the calls that end frameworks.
const farewell = 5 * time.Second

// Owners are the frameworks to which the agents' tasks belong. They want no offers.
type Owners struct {
	// Infos have their IDs set.
	Infos   []*mesos.FrameworkInfo
	clients []*scheduler.Client
	cancel  context.CancelFunc
	ended   chan error
}

// Own subscribes n frameworks with a master, as the principal that config authenticates; empty for none. They live
// until Teardown, or until ctx ends.
func Own(ctx context.Context, config scheduler.Config, principal string, n int) (*Owners, error) {
	ctx, cancel := context.WithCancel(ctx)
	o := &Owners{cancel: cancel, ended: make(chan error, n)}
	subscribed := make(chan struct{}, n)
	prefix := "simulated-" + uuid.NewString()
	for i := range n {
		info := &mesos.FrameworkInfo{User: proto.String("root"), Name: proto.String(fmt.Sprintf("simulated-%d", i)),
			Id: &mesos.FrameworkID{Value: proto.String(fmt.Sprintf("%s-%04d", prefix, i))}, Roles: []string{"*"},
			FailoverTimeout: proto.Float64(600)}
		for _, capability := range []mesos.FrameworkInfo_Capability_Type{mesos.FrameworkInfo_Capability_MULTI_ROLE,
			mesos.FrameworkInfo_Capability_PARTITION_AWARE, mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT} {
			info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: capability.Enum()})
		}
		if principal != "" {
			info.Principal = &principal
		}
		client := scheduler.New(config)
		o.Infos, o.clients = append(o.Infos, info), append(o.clients, client)
		go func() {
			o.ended <- client.Run(ctx, &api.Call_Subscribe{FrameworkInfo: info, SuppressedRoles: []string{"*"}},
				&owner{client: client, subscribed: subscribed})
		}()
	}
	for range n {
		select {
		case <-subscribed:
		case err := <-o.ended:
			cancel()
			return nil, err
		}
	}
	return o, nil
}

// Teardown removes the frameworks from the cluster.
func (o *Owners) Teardown() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	for _, client := range o.clients {
		// A master that is gone has nothing to tear down.
		_ = client.Call(ctx, &api.Call{Type: api.Call_TEARDOWN.Enum()})
	}
	o.cancel()
	for _, client := range o.clients {
		<-o.ended
		client.Close()
	}
}

// owner acknowledges what happens to its tasks.
type owner struct {
	client     *scheduler.Client
	subscribed chan struct{}
	known      bool
}

func (o *owner) Event(ctx context.Context, event *api.Event) error {
	switch event.GetType() {
	case api.Event_SUBSCRIBED:
		if !o.known {
			o.known = true
			o.subscribed <- struct{}{}
		}
	case api.Event_UPDATE:
		status := event.GetUpdate().GetStatus()
		if len(status.GetUuid()) > 0 {
			// An agent sends again what is not acknowledged.
			_ = o.client.Call(ctx, &api.Call{Type: api.Call_ACKNOWLEDGE.Enum(), Acknowledge: &api.Call_Acknowledge{
				AgentId: status.GetAgentId(), TaskId: status.GetTaskId(), Uuid: status.GetUuid()}})
		}
	case api.Event_ERROR:
		return errors.New(event.GetError().GetMessage())
	}
	return nil
}

func (o *owner) Disconnected(error) {}
