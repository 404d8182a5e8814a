// Package executor is a client of the executor API v1: what an executor's process speaks with its
// agent, over TCP or the agent's socket.
//
// It promises that events arrive in order, that calls carry the executor's identity, and that each
// subscription repeats the tasks and updates that the agent has not acknowledged. It refuses to
// run tasks: what an event means is the executor's business.
package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	api "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/api/recordio"
)

const (
	path = "/api/v1/executor"
	// maxEvent bounds one event, maxText the text of a refusal, in bytes.
	maxEvent = 64 << 20
	maxText  = 64 << 10
	// answerTimeout bounds how long an agent may take to answer.
	answerTimeout = 30 * time.Second
)

// ErrNotSubscribed is returned by Call for an update or message when there is no subscription. An
// update is remembered all the same, and goes out with the next one.
var ErrNotSubscribed = errors.New("not subscribed with the agent")

// StatusError is an answer other than 2xx. Text is the body, a reason for people.
type StatusError struct {
	Code int
	Text string
}

func (e *StatusError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("answer %d %s", e.Code, http.StatusText(e.Code))
	}
	return e.Text
}

// Config says which agent to speak with, and how.
type Config struct {
	Environment
	// MediaType is codec.Protobuf by default.
	MediaType codec.MediaType
}

// Client is an executor's side of the API. It is safe for concurrent use.
type Client struct {
	config  Config
	url     string
	http    *http.Client
	pending *pending
}

// New makes a client.
func New(config Config) *Client {
	if config.MediaType == "" {
		config.MediaType = codec.Protobuf
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 4,
		IdleConnTimeout: time.Minute, ResponseHeaderTimeout: answerTimeout}
	url := "http://" + config.Endpoint + path
	if config.TLS != nil {
		url, transport.TLSClientConfig = "https://"+config.Endpoint+path, config.TLS
	}
	if config.DomainSocket != "" {
		url = "http://agent" + path
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", config.DomainSocket)
		}
	}
	return &Client{config: config, url: url, http: &http.Client{Transport: transport}, pending: newPending()}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call sends UPDATE, MESSAGE or HEARTBEAT. The executor's identity is filled in. The error is a
// *StatusError when the agent refused it. An update stays with the client until the agent
// acknowledges it, so that after any other error it is sent again by the next subscription.
func (c *Client) Call(ctx context.Context, call *api.Call) error {
	connected := c.pending.calling(call)
	if !connected && call.GetType() != api.Call_HEARTBEAT {
		return ErrNotSubscribed
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	response, err := c.send(ctx, call)
	if err != nil {
		var status *StatusError
		if errors.As(err, &status) && status.Code == http.StatusBadRequest {
			c.pending.refused(call)
		}
		return fmt.Errorf("%s: %w", call.GetType(), err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxText)) // keeps the connection usable
	return response.Body.Close()
}

// send posts a call and returns an answer of 2xx.
func (c *Client) send(ctx context.Context, call *api.Call) (*http.Response, error) {
	call.FrameworkId = &mesos.FrameworkID{Value: proto.String(c.config.FrameworkID)}
	call.ExecutorId = &mesos.ExecutorID{Value: proto.String(c.config.ExecutorID)}
	body, err := codec.Marshal(c.config.MediaType, call)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", string(c.config.MediaType))
	request.Header.Set("Accept", string(c.config.MediaType))
	if c.config.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.config.Token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxText))
	return nil, &StatusError{Code: response.StatusCode, Text: strings.TrimSpace(string(text))}
}

// Stream is one subscription. It ends with its connection, and with the context that Subscribe
// was given. It is for one goroutine, but Close may be called from any.
type Stream struct {
	client  *Client
	body    io.Closer
	records *recordio.Reader
	cancel  context.CancelFunc
}

// Subscribe opens the stream of events, telling the agent the tasks and updates that it has not
// acknowledged.
func (c *Client) Subscribe(ctx context.Context) (*Stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	response, err := c.send(ctx, &api.Call{Type: api.Call_SUBSCRIBE.Enum(), Subscribe: c.pending.subscription()})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return &Stream{client: c, body: response.Body, records: recordio.NewReader(response.Body, maxEvent), cancel: cancel}, nil
}

// Next waits for the next event. It fails with io.EOF when the agent ends the stream.
func (s *Stream) Next() (*api.Event, error) {
	record, err := s.records.Read()
	if err != nil {
		return nil, err
	}
	event := new(api.Event)
	if err := codec.Unmarshal(s.client.config.MediaType, record, event); err != nil {
		return nil, err
	}
	s.client.pending.happened(event)
	return event, nil
}

// Close ends the subscription.
func (s *Stream) Close() error {
	s.client.pending.disconnected()
	s.cancel()
	return s.body.Close()
}
