package operator

import (
	"context"
	"fmt"
	"io"

	"agora.dev/agora/api/codec"
)

// Answer is what came back, whatever its status.
type Answer struct {
	Code int
	Body []byte
}

// Exchange sends any request to the leader, and returns its answer, a refusal too. The body is
// JSON; nil sends none.
func (c *Client) Exchange(ctx context.Context, method, path string, body []byte) (*Answer, error) {
	response, err := c.toLeader(ctx, method, path, codec.JSON, body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("answer of %s: %w", c.addr, err)
	}
	return &Answer{Code: response.StatusCode, Body: data}, nil
}
