package tasksload

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/api/recordio"
)

// client is the framework: one stream of events, and several connections of pipelined calls.
type client struct {
	load     *load
	stream   net.Conn
	events   *recordio.Reader
	id       *mesos.FrameworkID
	streamID string
	callers  []*caller
	next     int // task
	turn     int
}

func (l *load) subscribe(ctx context.Context) (*client, error) {
	c := &client{load: l}
	call := &scheduler.Call{Type: scheduler.Call_SUBSCRIBE.Enum(), Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: &mesos.FrameworkInfo{
		User: ptr("bench"), Name: ptr("tasks load"), Roles: []string{"bench"},
		Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()},
			{Type: mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT.Enum()}}}}}
	body, err := call.MarshalVT()
	if err != nil {
		return nil, err
	}
	// The master may still be reading its registry: 503 means again.
	for {
		response, err := c.open(ctx, body)
		if err != nil {
			return nil, err
		}
		if response.StatusCode == http.StatusOK {
			c.streamID = response.Header.Get("Mesos-Stream-Id")
			c.events = recordio.NewReader(bufio.NewReaderSize(response.Body, 64<<10), 0)
			break
		}
		c.stream.Close()
		if response.StatusCode != http.StatusServiceUnavailable {
			return nil, fmt.Errorf("subscribe: %s", response.Status)
		}
	}
	event, err := c.event()
	if err != nil {
		return nil, err
	}
	c.id = event.GetSubscribed().GetFrameworkId()
	for range l.cfg.Connections {
		caller, err := newCaller(ctx, l.address, c.streamID)
		if err != nil {
			return nil, err
		}
		c.callers = append(c.callers, caller)
	}
	return c, nil
}

func (c *client) open(ctx context.Context, body []byte) (*http.Response, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.load.address)
	if err != nil {
		return nil, err
	}
	c.stream = conn
	head := "POST /api/v1/scheduler HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-protobuf\r\nAccept: application/x-protobuf\r\nContent-Length: "
	if _, err := conn.Write(append([]byte(head+strconv.Itoa(len(body))+"\r\n\r\n"), body...)); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReaderSize(conn, 64<<10), nil)
}

func (c *client) event() (*scheduler.Event, error) {
	record, err := c.events.Read()
	if err != nil {
		return nil, err
	}
	event := new(scheduler.Event)
	return event, event.UnmarshalVT(record)
}

// run answers offers with tasks and updates with acknowledgements, until the stream ends.
func (c *client) run() error {
	for {
		event, err := c.event()
		if err != nil {
			return err
		}
		switch event.GetType() {
		case scheduler.Event_OFFERS:
			for _, offer := range event.GetOffers().GetOffers() {
				if err := c.accept(offer); err != nil {
					return err
				}
			}
		case scheduler.Event_UPDATE:
			status := event.GetUpdate().GetStatus()
			if status.GetState() != mesos.TaskState_TASK_RUNNING {
				return fmt.Errorf("task %s: %s %s", status.GetTaskId().GetValue(), status.GetState(), status.GetMessage())
			}
			if err := c.send(&scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE.Enum(), FrameworkId: c.id,
				Acknowledge: &scheduler.Call_Acknowledge{AgentId: status.AgentId, TaskId: status.TaskId, Uuid: status.Uuid}}); err != nil {
				return err
			}
		case scheduler.Event_ERROR:
			return errors.New(event.GetError().GetMessage())
		}
	}
}

func (c *client) accept(offer *mesos.Offer) error {
	var tasks []*mesos.TaskInfo
	now := time.Now()
	for range c.load.cfg.TasksPerAgent {
		if c.next == len(c.load.started) {
			break
		}
		id := nameOf(c.next)
		c.load.started[c.next] = now
		c.next++
		tasks = append(tasks, &mesos.TaskInfo{Name: &id, TaskId: &mesos.TaskID{Value: &id}, AgentId: offer.AgentId,
			Resources: []*mesos.Resource{scalar("cpus", taskCPUs), scalar("mem", taskMem)},
			Command:   &mesos.CommandInfo{Value: ptr("sleep 1000")}})
	}
	return c.send(&scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), FrameworkId: c.id, Accept: &scheduler.Call_Accept{
		OfferIds: []*mesos.OfferID{offer.Id}, Filters: &mesos.Filters{RefuseSeconds: ptr(3600.0)},
		Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(),
			Launch: &mesos.Offer_Operation_Launch{TaskInfos: tasks}}}}})
}

func (c *client) send(call *scheduler.Call) error {
	c.turn++
	return c.callers[c.turn%len(c.callers)].send(call)
}

func (c *client) close() {
	c.stream.Close()
	for _, caller := range c.callers {
		caller.close()
	}
}

// caller is one connection with pipelined calls.
type caller struct {
	conn net.Conn
	head []byte
	wg   sync.WaitGroup

	mu      sync.Mutex
	pending []byte
	wake    chan struct{}
	err     error
}

func newCaller(ctx context.Context, address, streamID string) (*caller, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &caller{conn: conn, wake: make(chan struct{}, 1), head: []byte("POST /api/v1/scheduler HTTP/1.1\r\nHost: bench\r\n" +
		"Content-Type: application/x-protobuf\r\nMesos-Stream-Id: " + streamID + "\r\nContent-Length: ")}
	c.wg.Go(c.write)
	c.wg.Go(c.read)
	return c, nil
}

func (c *caller) send(call *scheduler.Call) error {
	body, err := call.MarshalVT()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, c.head...)
	c.pending = strconv.AppendInt(c.pending, int64(len(body)), 10)
	c.pending = append(append(c.pending, "\r\n\r\n"...), body...)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return c.err
}

func (c *caller) write() {
	var out []byte
	for range c.wake {
		c.mu.Lock()
		out, c.pending = c.pending, out[:0]
		c.mu.Unlock()
		if _, err := c.conn.Write(out); err != nil {
			return
		}
	}
}

// read checks the answers: each is 202.
func (c *caller) read() {
	in := bufio.NewReaderSize(c.conn, 64<<10)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		accepted := len(line) > 12 && string(line[9:12]) == "202"
		var body []byte
		length := 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) <= 2 {
				break
			}
			const name = "Content-Length: "
			if len(line) > len(name) && string(line[:len(name)]) == name {
				length, _ = strconv.Atoi(string(line[len(name) : len(line)-2]))
			}
		}
		if length > 0 {
			body = make([]byte, length)
			if _, err := io.ReadFull(in, body); err != nil {
				return
			}
		}
		if !accepted {
			c.mu.Lock()
			c.err = fmt.Errorf("call refused: %s", body)
			c.mu.Unlock()
		}
	}
}

func (c *caller) close() {
	c.conn.Close()
	close(c.wake)
	c.wg.Wait()
}
