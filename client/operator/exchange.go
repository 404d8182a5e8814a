package operator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Answer is what came back, whatever its status.
type Answer struct {
	Code int
	Type string
	Body []byte
}

// Exchange sends any request to the leader, and returns any answer but a redirect. The
// body is JSON; nil sends none.
func (c *Client) Exchange(ctx context.Context, method, path string, body []byte) (*Answer, error) {
	target := c.addr
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	target = strings.TrimSuffix(target, "/")
	for range maxRequests {
		request, err := http.NewRequestWithContext(ctx, method, target+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Accept", "application/json")
		if body != nil {
			request.Header.Set("Content-Type", "application/json")
		}
		if c.authorization != "" {
			request.Header.Set("Authorization", c.authorization)
		}
		response, err := c.http.Do(request)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		response.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("answer of %s: %w", c.addr, err)
		}
		leader := leaderOf(response)
		if leader == nil {
			return &Answer{Code: response.StatusCode, Type: response.Header.Get("Content-Type"), Body: data}, nil
		}
		target = leader.Scheme + "://" + leader.Host
	}
	return nil, fmt.Errorf("%s: redirected more than %d times", c.addr, maxRequests-1)
}
