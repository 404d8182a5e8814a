// Package operator is a client of the operator API v1 of masters and agents, and of
// their older JSON endpoints.
//
// It promises one request per call, in protobuf, following the redirect of a master that
// does not lead. It refuses to retry: the caller knows whether that is safe.
package operator

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/api/mesos/v1/master"
)

const (
	// maxAnswer bounds the answer to a call, in bytes; maxText that of a refusal.
	maxAnswer = 1 << 30
	maxText   = 64 << 10
	// maxRequests bounds how often one call is sent: to the address given, and after redirects.
	maxRequests = 5
)

// StatusError is an answer other than 2xx. Text is the body, which Mesos fills with a
// reason for people.
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

// Client speaks to one master or agent. It is safe for concurrent use.
type Client struct {
	addr          string
	scheme        string
	authorization string
	http          *http.Client
}

func transport(config *tls.Config) *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     30 * time.Second,
		TLSClientConfig:     config,
	}
}

// shared keeps connections alive between clients of one process.
var shared = &http.Client{
	Transport:     transport(nil),
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Option changes a new client.
type Option func(*Client)

// WithHTTPClient makes the client use c, which must not follow redirects itself.
func WithHTTPClient(c *http.Client) Option { return func(client *Client) { client.http = c } }

// WithAuthorization makes the client send value as the Authorization header, to the leader that
// it is redirected to as well.
func WithAuthorization(value string) Option {
	return func(client *Client) { client.authorization = value }
}

// WithTLS makes the client speak TLS, to addresses without a scheme as well. Nil changes nothing.
func WithTLS(config *tls.Config) Option {
	return func(client *Client) {
		if config == nil {
			return
		}
		client.scheme = "https://"
		client.http = &http.Client{Transport: transport(config), CheckRedirect: shared.CheckRedirect}
	}
}

// New makes a client of the master or agent at addr: HOST:PORT, or https://HOST:PORT.
func New(addr string, options ...Option) *Client {
	c := &Client{addr: addr, scheme: "http://", http: shared}
	for _, option := range options {
		option(c)
	}
	return c
}

// Master sends a call to a master. The error is a *StatusError when it was refused.
func (c *Client) Master(ctx context.Context, call *master.Call) (*master.Response, error) {
	response := new(master.Response)
	return response, c.call(ctx, call, response)
}

// Agent sends a call to an agent. The error is a *StatusError when it was refused.
func (c *Client) Agent(ctx context.Context, call *agent.Call) (*agent.Response, error) {
	response := new(agent.Response)
	return response, c.call(ctx, call, response)
}

func (c *Client) call(ctx context.Context, call, response proto.Message) error {
	body, err := codec.Marshal(codec.Protobuf, call)
	if err != nil {
		return err
	}
	data, err := c.do(ctx, http.MethodPost, "/api/v1", body)
	if err != nil || len(data) == 0 {
		return err
	}
	return codec.Unmarshal(codec.Protobuf, data, response)
}

// Get reads a JSON endpoint, such as /state.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	return c.do(ctx, http.MethodGet, path, nil)
}

// do sends a request and reads its answer.
func (c *Client) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	response, err := c.follow(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = fmt.Errorf("longer than %d bytes", maxAnswer)
	}
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", c.addr, err)
	}
	return data, nil
}

// follow sends a request in protobuf and returns an answer of 2xx.
func (c *Client) follow(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	response, err := c.toLeader(ctx, method, path, codec.Protobuf, body)
	if err != nil || response.StatusCode < 300 {
		return response, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxText))
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", c.addr, err)
	}
	return nil, &StatusError{Code: response.StatusCode, Text: strings.TrimSpace(string(text))}
}

// toLeader sends a request, again to the leader when the answer says where it is, and returns
// any other answer.
func (c *Client) toLeader(ctx context.Context, method, path string, media codec.MediaType, body []byte) (*http.Response, error) {
	target := c.addr
	if !strings.Contains(target, "://") {
		target = c.scheme + target
	}
	target = strings.TrimSuffix(target, "/")
	for range maxRequests {
		response, err := c.send(ctx, method, target+path, media, body)
		if err != nil {
			return nil, err
		}
		leader := leaderOf(response)
		if leader == nil {
			return response, nil
		}
		response.Body.Close()
		target = leader.Scheme + "://" + leader.Host
	}
	return nil, fmt.Errorf("%s: redirected more than %d times", c.addr, maxRequests-1)
}

func (c *Client) send(ctx context.Context, method, url string, media codec.MediaType, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", string(media))
		request.Header.Set("Accept", string(media))
	}
	if c.authorization != "" {
		request.Header.Set("Authorization", c.authorization)
	}
	return c.http.Do(request)
}

// leaderOf is where a redirect points, nil when the answer is none. Mesos sends
// "//host:port/path". One from TLS to plain text is not followed: it would carry credentials.
func leaderOf(response *http.Response) *url.URL {
	if response.StatusCode != http.StatusTemporaryRedirect {
		return nil
	}
	location, err := response.Location()
	if err != nil || location.Scheme != response.Request.URL.Scheme {
		return nil
	}
	return location
}
