package orchestrator

import (
	"context"
	"fmt"

	api "agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/orchestrator/core"
)

// handler hands the master's events to the loop.
type handler struct {
	o   *Orchestrator
	ctx func() context.Context
}

// Event posts one event.
func (h *handler) Event(ctx context.Context, event *api.Event) error {
	switch event.GetType() {
	case api.Event_SUBSCRIBED:
		id := event.GetSubscribed().GetFrameworkId().GetValue()
		h.o.deps.Log.Info("subscribed", "framework", id)
		return h.o.loop.Post(ctx, core.Subscribed{FrameworkID: id})
	case api.Event_OFFERS:
		return h.o.loop.Post(ctx, core.Offers{Offers: event.GetOffers().GetOffers()})
	case api.Event_UPDATE:
		return h.o.loop.Post(ctx, core.Update{Status: event.GetUpdate().GetStatus()})
	case api.Event_FAILURE:
		if failure := event.GetFailure(); failure.ExecutorId == nil {
			return h.o.loop.Post(ctx, core.AgentLost{AgentID: failure.GetAgentId().GetValue()})
		}
	case api.Event_ERROR:
		return fmt.Errorf("the master ended the framework: %s", event.GetError().GetMessage())
	}
	return nil
}

// Disconnected tells the core; the client subscribes again.
func (h *handler) Disconnected(err error) {
	h.o.deps.Log.Warn("disconnected from the master", "error", err)
	// Fails only when the loop has ended.
	_ = h.o.loop.Post(h.ctx(), core.Disconnected{})
}
