package scheduler

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"agora.dev/agora/api/codec"
	api "agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/api/recordio"
)

// Stream is one subscription. It ends with its connection, and with the context that Subscribe
// was given. It is for one goroutine, but Close may be called from any.
type Stream struct {
	client   *Client
	response *http.Response
	records  *recordio.Reader
	cancel   context.CancelFunc
	id       string

	watchdog *time.Timer
	silence  time.Duration
	silent   atomic.Bool
}

func newStream(c *Client, response *http.Response, cancel context.CancelFunc) *Stream {
	s := &Stream{client: c, response: response, cancel: cancel, id: response.Header.Get("Mesos-Stream-Id"),
		records: recordio.NewReader(response.Body, maxEvent), silence: missedHeartbeats * 15 * time.Second}
	s.watchdog = time.AfterFunc(s.silence, s.giveUp)
	return s
}

// Next waits for the next event. It fails when the stream ends, and with ErrSilent when
// nothing came for five heartbeats.
func (s *Stream) Next() (*api.Event, error) {
	// Only waiting counts as silence, not the time that the caller spends on an event.
	s.watchdog.Reset(s.silence)
	record, err := s.records.Read()
	s.watchdog.Stop()
	if err != nil {
		if s.silent.Load() {
			return nil, ErrSilent
		}
		return nil, err
	}
	event := new(api.Event)
	if err := codec.Unmarshal(s.client.config.MediaType, record, event); err != nil {
		return nil, err
	}
	if subscribed := event.GetSubscribed(); subscribed != nil {
		s.client.subscribed(subscribed.GetFrameworkId())
		if interval := subscribed.GetHeartbeatIntervalSeconds(); interval > 0 {
			s.silence = time.Duration(missedHeartbeats * interval * float64(time.Second))
		}
	}
	return event, nil
}

func (s *Stream) giveUp() {
	s.silent.Store(true)
	s.cancel()
}

// Close ends the subscription: the master takes the framework for disconnected.
func (s *Stream) Close() error {
	s.watchdog.Stop()
	s.client.closed(s.id)
	s.cancel()
	return s.response.Body.Close()
}
