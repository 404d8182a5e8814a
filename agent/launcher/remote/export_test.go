package remote

import "context"

// Speak lists containers in the words of another version.
func (c *Client) Speak(ctx context.Context, version int) error {
	conn, err := c.take(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := send(conn, call{Version: version, Method: "list"}); err != nil {
		return err
	}
	var a answer
	if _, err := receive(conn, &a); err != nil {
		return err
	}
	return a.err()
}
