// Package scheduler is a client of the scheduler API v1: what a framework speaks with
// the leading master.
//
// It promises that events arrive in order, that calls carry the framework's ID and the
// stream's, and that Run subscribes again for as long as that can help. It refuses to
// answer events: offers, acknowledgements and reconciliation are the framework's.
package scheduler

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	api "agora.dev/agora/api/mesos/v1/scheduler"
)

const (
	path = "/api/v1/scheduler"
	// maxEvent bounds one event, in bytes.
	maxEvent = 256 << 20
	// maxRedirects bounds how often one request is sent to another master.
	maxRedirects = 5
	// missedHeartbeats without any event make a stream dead. Mesos
	// docs/scheduler-http-api.md: heartbeats.
	missedHeartbeats = 5
	// answerTimeout bounds how long a master may take to answer.
	answerTimeout = 30 * time.Second
)

var (
	// ErrNotSubscribed is returned by Call when there is no subscription.
	ErrNotSubscribed = errors.New("not subscribed with a master")
	// ErrSilent ends a stream whose heartbeats stay out.
	ErrSilent = errors.New("the master has been silent for five heartbeats")
)

// StatusError is an answer other than 2xx.
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

// final reports whether the same request will be refused again.
func (e *StatusError) final() bool {
	return e.Code >= 400 && e.Code < 500 && e.Code != http.StatusTooManyRequests
}

// Config says where the masters are and how to speak with them.
type Config struct {
	// Masters are HOST:PORT, or https://HOST:PORT, of some masters; any of them knows the leader.
	Masters []string
	// MediaType is codec.Protobuf by default.
	MediaType codec.MediaType
	// Authorization is sent as the header of that name; empty sends none.
	Authorization string
	// TLS is for masters with https; nil trusts what the system trusts.
	TLS *tls.Config
}

// Client is a framework's side of the API. It is safe for concurrent use.
type Client struct {
	config Config
	stream *http.Client // without a timeout: the subscription
	calls  *http.Client

	mu        sync.Mutex
	leader    string
	streamID  string
	framework *mesos.FrameworkID
	updated   *api.Call_UpdateFramework // the last one that the master took
	tornDown  bool
}

// New makes a client.
func New(config Config) *Client {
	if config.MediaType == "" {
		config.MediaType = codec.Protobuf
	}
	transport := func() *http.Transport {
		return &http.Transport{DialContext: (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: answerTimeout, TLSClientConfig: config.TLS}
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{config: config,
		stream: &http.Client{Transport: transport(), CheckRedirect: noRedirect},
		calls:  &http.Client{Transport: transport(), CheckRedirect: noRedirect, Timeout: answerTimeout}}
}

// Close drops idle connections.
func (c *Client) Close() {
	c.stream.CloseIdleConnections()
	c.calls.CloseIdleConnections()
}

// FrameworkID is the ID of the last subscription; nil before the first.
func (c *Client) FrameworkID() *mesos.FrameworkID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.framework
}

// Subscribe opens the stream of events, on whichever master leads.
func (c *Client) Subscribe(ctx context.Context, call *api.Call_Subscribe) (*Stream, error) {
	id := call.GetFrameworkInfo().GetId()
	body, err := codec.Marshal(c.config.MediaType, &api.Call{Type: api.Call_SUBSCRIBE.Enum(), FrameworkId: id, Subscribe: call})
	if err != nil {
		return nil, err
	}
	last := errors.New("subscribe: no master is configured")
	for _, master := range c.candidates() {
		ctx, cancel := context.WithCancel(ctx)
		response, addr, err := c.send(ctx, c.stream, master, body, "")
		if err != nil {
			cancel()
			last = fmt.Errorf("subscribe with %s: %w", master, err)
			var status *StatusError
			if errors.As(err, &status) && status.final() {
				return nil, last
			}
			continue
		}
		c.mu.Lock()
		c.leader, c.streamID, c.framework = addr, response.Header.Get("Mesos-Stream-Id"), id
		c.mu.Unlock()
		return newStream(c, response, cancel), nil
	}
	return nil, last
}

// candidates lists the masters to ask, the last leader first.
func (c *Client) candidates() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader == "" {
		return c.config.Masters
	}
	// Whoever led last may be cut off: the others are asked as well.
	return append([]string{c.leader}, c.config.Masters...)
}

// Call sends any call but SUBSCRIBE. The framework's ID is filled in. Calls of one goroutine
// reach the master in order. The error is a
// *StatusError when the master refused it.
func (c *Client) Call(ctx context.Context, call *api.Call) error {
	c.mu.Lock()
	leader, streamID, framework := c.leader, c.streamID, c.framework
	c.mu.Unlock()
	if streamID == "" || framework == nil {
		return ErrNotSubscribed
	}
	call.FrameworkId = framework
	body, err := codec.Marshal(c.config.MediaType, call)
	if err != nil {
		return err
	}
	response, _, err := c.send(ctx, c.calls, leader, body, streamID)
	if err != nil {
		return fmt.Errorf("%s: %w", call.GetType(), err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)) // keeps the connection usable
	c.taken(call)
	return nil
}

// taken remembers of a call what later subscriptions depend on.
func (c *Client) taken(call *api.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch call.GetType() {
	case api.Call_UPDATE_FRAMEWORK:
		c.updated = proto.CloneOf(call.GetUpdateFramework())
	case api.Call_TEARDOWN:
		c.tornDown = true
	}
}

// renew brings a subscription up to date.
func (c *Client) renew(subscribe *api.Call_Subscribe) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.updated; u != nil {
		subscribe.FrameworkInfo, subscribe.SuppressedRoles = proto.CloneOf(u.GetFrameworkInfo()), u.GetSuppressedRoles()
		subscribe.OfferConstraints = u.GetOfferConstraints()
	}
	if c.framework != nil {
		subscribe.FrameworkInfo.Id = c.framework
	}
}

// send posts body to addr, or to where that sends it, and returns an answer of 2xx.
func (c *Client) send(ctx context.Context, client *http.Client, addr string, body []byte, streamID string) (*http.Response, string, error) {
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	for range maxRedirects {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, addr+path, bytes.NewReader(body))
		if err != nil {
			return nil, addr, err
		}
		request.Header.Set("Content-Type", string(c.config.MediaType))
		request.Header.Set("Accept", string(c.config.MediaType))
		if streamID != "" {
			request.Header.Set("Mesos-Stream-Id", streamID)
		}
		if c.config.Authorization != "" {
			request.Header.Set("Authorization", c.config.Authorization)
		}
		response, err := client.Do(request)
		if err != nil {
			return nil, addr, err
		}
		if response.StatusCode < 300 {
			return response, addr, nil
		}
		text, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
		response.Body.Close()
		location, err := response.Location()
		// A redirect from TLS to plain text is not followed: it would carry credentials.
		if response.StatusCode == http.StatusTemporaryRedirect && err == nil && location.Scheme == request.URL.Scheme {
			addr = location.Scheme + "://" + location.Host
			continue
		}
		return nil, addr, &StatusError{Code: response.StatusCode, Text: strings.TrimSpace(string(text))}
	}
	return nil, addr, fmt.Errorf("redirected more than %d times", maxRedirects)
}

// ended reports that the framework was torn down.
func (c *Client) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tornDown
}

// subscribed takes note of the ID that the master gave.
func (c *Client) subscribed(id *mesos.FrameworkID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.framework = id
}

// closed forgets the subscription that had this stream ID.
func (c *Client) closed(streamID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streamID == streamID {
		c.streamID = ""
	}
}
