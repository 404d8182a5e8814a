package remote

import (
	"context"
	"io"
	"os"
)

// CommandHearing is Command; at hears of the points of an upgrade.
func CommandHearing(args []string, stderr io.Writer, at func(point string)) int {
	return command(args, stderr, at)
}

// UpgradeTo is Upgrade to another program than this one.
func (k *Keeper) UpgradeTo(ctx context.Context, program *os.File) (bool, error) {
	return k.upgradeTo(ctx, program)
}

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
