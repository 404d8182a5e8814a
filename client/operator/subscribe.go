package operator

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/recordio"
)

// silence is how long a stream may bring nothing: five of the heartbeats that a master sends
// every 15 s.
const silence = 75 * time.Second

// Events is the stream that a master answers SUBSCRIBE with: first a snapshot of all that the
// subscriber may see, then what changes. It is for one goroutine, and ends with the context that
// Subscribe was given.
type Events struct {
	body     io.ReadCloser
	records  *recordio.Reader
	cancel   context.CancelCauseFunc
	cause    func() error // why a read was ended by us
	watchdog *time.Timer
}

// Subscribe opens the stream of a master's events. The error is a *StatusError when it was
// refused.
func (c *Client) Subscribe(ctx context.Context) (*Events, error) {
	body, err := codec.Marshal(codec.Protobuf, &master.Call{Type: master.Call_SUBSCRIBE.Enum()})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	watchdog := time.AfterFunc(silence, func() { cancel(fmt.Errorf("%s: no event for %s", c.addr, silence)) })
	response, err := c.follow(ctx, http.MethodPost, "/api/v1", body)
	if err != nil {
		watchdog.Stop()
		defer cancel(nil)
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, err
	}
	return &Events{body: response.Body, records: recordio.NewReader(response.Body, maxAnswer),
		cancel: cancel, cause: func() error { return context.Cause(ctx) }, watchdog: watchdog}, nil
}

// Next waits for the next event. It fails with io.EOF when the master ends the stream.
func (e *Events) Next() (*master.Event, error) {
	e.watchdog.Reset(silence)
	record, err := e.records.Read()
	e.watchdog.Stop()
	if err != nil {
		if cause := e.cause(); cause != nil {
			return nil, cause
		}
		return nil, err
	}
	event := new(master.Event)
	if err := codec.Unmarshal(codec.Protobuf, record, event); err != nil {
		return nil, err
	}
	return event, nil
}

// Close ends the stream.
func (e *Events) Close() error {
	e.watchdog.Stop()
	e.cancel(nil)
	return e.body.Close()
}
