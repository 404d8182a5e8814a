package executor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	api "agora.dev/agora/api/mesos/v1/executor"
)

// heartbeatInterval is how often Run tells the agent that the executor lives: as often as Mesos.
const heartbeatInterval = 30 * time.Minute

// Handler gets what happens to a subscription, from one goroutine.
type Handler interface {
	// Event handles one event; SUBSCRIBED, SHUTDOWN and ERROR among them. An error ends Run.
	Event(ctx context.Context, event *api.Event) error
	// Disconnected says that the stream ended, and why; Run is going to subscribe again.
	Disconnected(err error)
}

// Rejected is the agent's final word: an ERROR event, or a refusal of the subscription that will
// not change.
type Rejected struct{ Message string }

func (e *Rejected) Error() string { return "the agent rejects the executor: " + e.Message }

// AgentLost says that the agent is gone, for as long as an executor may wait for it. The executor
// should end its tasks and itself.
type AgentLost struct {
	// Waited is zero for an executor without checkpointing, which does not wait.
	Waited time.Duration
	Cause  error
}

func (e *AgentLost) Error() string {
	return fmt.Sprintf("agent lost for %s: %v", e.Waited, e.Cause)
}

// Unwrap returns why the last attempt ended.
func (e *AgentLost) Unwrap() error { return e.Cause }

// Run subscribes and hands every event to handler until ctx ends, handler fails, the agent
// rejects the executor (*Rejected), or the agent is lost (*AgentLost): at once without
// checkpointing, with it after RecoveryTimeout of attempts at random times. SHUTDOWN does not end
// Run by itself: the handler says when the tasks have ended.
func (c *Client) Run(ctx context.Context, handler Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		c.beat(ctx)
	}()
	defer func() { cancel(); <-beating }()

	var lost time.Time // when the agent was lost; zero while it is there
	for {
		subscribed, err := c.once(ctx, handler)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if final := final(err); final != nil {
			return final
		}
		if subscribed || lost.IsZero() {
			lost = time.Now()
		}
		if subscribed {
			handler.Disconnected(err)
		}
		waited := time.Since(lost)
		if !c.config.Checkpoint || waited >= c.config.RecoveryTimeout {
			return &AgentLost{Waited: waited, Cause: err}
		}
		if err := pause(ctx, c.config.SubscriptionBackoffMax); err != nil {
			return err
		}
	}
}

// final is the error that Run returns for err, nil when it should subscribe again.
func final(err error) error {
	var (
		failed   *handlerError
		rejected *Rejected
		status   *StatusError
	)
	switch {
	case errors.As(err, &failed):
		return failed.err
	case errors.As(err, &rejected):
		return rejected
	case errors.As(err, &status) && status.Code >= 400 && status.Code < 500 && status.Code != http.StatusTooManyRequests:
		return &Rejected{Message: status.Error()}
	}
	return nil
}

// handlerError tells the handler's errors from the stream's.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return e.err.Error() }

// once is one subscription from its beginning to its end.
func (c *Client) once(ctx context.Context, handler Handler) (subscribed bool, err error) {
	stream, err := c.Subscribe(ctx)
	if err != nil {
		return false, err
	}
	defer stream.Close()
	for {
		event, err := stream.Next()
		if err != nil {
			return subscribed, fmt.Errorf("stream of events: %w", err)
		}
		subscribed = subscribed || event.GetType() == api.Event_SUBSCRIBED
		if err := handler.Event(ctx, event); err != nil {
			return subscribed, &handlerError{err}
		}
		if event.GetType() == api.Event_ERROR {
			return subscribed, &Rejected{Message: event.GetError().GetMessage()}
		}
	}
}

// beat sends heartbeats until ctx ends. That one is lost is no news: the stream tells.
func (c *Client) beat(ctx context.Context) {
	ticker := time.NewTicker(heartbeatInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = c.Call(ctx, &api.Call{Type: api.Call_HEARTBEAT.Enum()})
		}
	}
}

// pause waits a random time below most, so that the executors of a restarted agent do not return
// all at once.
func pause(ctx context.Context, most time.Duration) error {
	// Without a floor an unreachable agent would be asked in a busy loop.
	timer := time.NewTimer(10*time.Millisecond + time.Duration(rand.Int64N(int64(max(most, 1)))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
