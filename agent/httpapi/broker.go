// Package httpapi is the agent's HTTP face: the executor API, the operator API, the
// legacy endpoints and the files of sandboxes.
//
// It promises the paths, codes and texts of a Mesos agent, that an executor may only act
// as itself, and that a slow reader costs a bounded amount. It refuses to decide
// anything about tasks: that is agent/core, which it reaches by events.
package httpapi

import (
	"errors"
	"sync"

	"agora.dev/agora/agent/core"
	execapi "agora.dev/agora/api/mesos/v1/executor"
)

// streamQueue bounds the events that wait for one executor; one that lets it fill is
// disconnected.
const streamQueue = 1024

// errGone is the reply to a call whose agent ends.
var errGone = errors.New("the agent is shutting down")

// Broker carries replies and events from the core to the requests that wait for them.
type Broker struct {
	mu         sync.Mutex
	request    core.RequestID
	connection core.ConnectionID
	replies    map[core.RequestID]chan error
	streams    map[core.ConnectionID]*stream
}

type stream struct {
	events chan *execapi.Event
	closed bool // events is closed
}

// NewBroker makes an empty one.
func NewBroker() *Broker {
	return &Broker{replies: map[core.RequestID]chan error{}, streams: map[core.ConnectionID]*stream{}}
}

func (b *Broker) expect() (core.RequestID, chan error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.request++
	reply := make(chan error, 1)
	b.replies[b.request] = reply
	return b.request, reply
}

func (b *Broker) forget(request core.RequestID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.replies, request)
}

func (b *Broker) open() (core.ConnectionID, *stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.connection++
	s := &stream{events: make(chan *execapi.Event, streamQueue)}
	b.streams[b.connection] = s
	return b.connection, s
}

// Reply answers a request.
func (b *Broker) Reply(request core.RequestID, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if reply := b.replies[request]; reply != nil {
		reply <- err
		delete(b.replies, request)
	}
}

// Send queues an event for an executor.
func (b *Broker) Send(to core.ToExecutor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.streams[to.Connection]
	if s == nil || s.closed {
		return
	}
	select {
	case s.events <- to.Event:
	default:
		b.close(to.Connection)
	}
}

// Close ends an executor's stream after what was sent.
func (b *Broker) Close(connection core.ConnectionID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.close(connection)
}

func (b *Broker) close(connection core.ConnectionID) {
	if s := b.streams[connection]; s != nil && !s.closed {
		s.closed = true
		close(s.events)
		delete(b.streams, connection)
	}
}

// CloseAll ends every stream and answers every request: the agent ends.
func (b *Broker) CloseAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.streams {
		b.close(id)
	}
	for id, reply := range b.replies {
		reply <- errGone
		delete(b.replies, id)
	}
}
