package remote

import (
	"context"
	"io"
	"os"
)

// CommandHearing is Command; at hears of the points of an upgrade.
func CommandHearing(args []string, stderr io.Writer, at func(point string)) int {
	return command(args, stderr, Options{at: at})
}

// CommandOfAnEarlierBuild is Command of a launcher that speaks a version and knows some features.
func CommandOfAnEarlierBuild(args []string, stderr io.Writer, version int, features ...string) int {
	return command(args, stderr, Options{older: &knowledge{version, features}})
}

// UpgradeTo is Upgrade to another program than this one.
func (k *Keeper) UpgradeTo(ctx context.Context, program *os.File) (bool, error) {
	return k.upgradeTo(ctx, program)
}

// Say makes a call in words that may be of another version.
func (c *Client) Say(ctx context.Context, words map[string]any) error {
	conn, err := c.take(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := send(conn, words); err != nil {
		return err
	}
	var a answer
	if _, err := receive(conn, &a); err != nil {
		return err
	}
	return a.err()
}
