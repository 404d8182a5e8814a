package scheduler

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	api "agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/internal/backoff"
)

// Handler gets what happens to a subscription, from one goroutine.
type Handler interface {
	// Event handles one event; SUBSCRIBED and ERROR among them. An error ends Run.
	Event(ctx context.Context, event *api.Event) error
	// Disconnected says that the stream ended, and why; Run is going to subscribe again.
	Disconnected(err error)
}

// Rejected is the master's final word: an ERROR event, or a refusal of the
// subscription that will not change.
type Rejected struct{ Message string }

func (e *Rejected) Error() string { return "the master rejects the framework: " + e.Message }

// Run subscribes and hands every event to handler, again and again with growing pauses,
// until ctx ends, handler fails, the framework was torn down by a Call (nil) or the master rejects
// it (*Rejected). Once the master has given an ID, later subscriptions carry it, and what an
// UPDATE_FRAMEWORK changed.
func (c *Client) Run(ctx context.Context, subscribe *api.Call_Subscribe, handler Handler) error {
	subscribe = proto.CloneOf(subscribe)
	var pause backoff.Backoff
	for {
		c.renew(subscribe)
		err := c.once(ctx, subscribe, handler, &pause)
		var (
			status   *StatusError
			rejected *Rejected
			failed   *handlerError
		)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &failed):
			return failed.err
		case errors.As(err, &rejected):
			return rejected
		case errors.As(err, &status) && status.final():
			return &Rejected{Message: status.Error()}
		}
		if c.ended() {
			return nil
		}
		handler.Disconnected(err)
		if err := pause.Wait(ctx); err != nil {
			return err
		}
	}
}

// handlerError tells the handler's errors from the stream's.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return e.err.Error() }

// once is one subscription from its beginning to its end.
func (c *Client) once(ctx context.Context, subscribe *api.Call_Subscribe, handler Handler, pause *backoff.Backoff) error {
	stream, err := c.Subscribe(ctx, subscribe)
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		event, err := stream.Next()
		if err != nil {
			return fmt.Errorf("stream of events: %w", err)
		}
		pause.Reset()
		if err := handler.Event(ctx, event); err != nil {
			return &handlerError{err}
		}
		if event.GetType() == api.Event_ERROR {
			return &Rejected{Message: event.GetError().GetMessage()}
		}
	}
}
