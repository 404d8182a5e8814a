package linux

import (
	"context"
	"fmt"
	"os"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/launcher"
)

// Terminal is the outer end of the terminal of a container that was started with one; the
// caller closes it. The error of one without is fit for a user.
func (c *Containerizer) Terminal(ctx context.Context, id containerizer.ID) (*os.File, error) {
	if _, err := c.find(id); err != nil {
		return nil, err
	}
	keeper, ok := c.config.Launcher.(launcher.Terminals)
	if !ok {
		return nil, fmt.Errorf("container %s: %w", id, launcher.ErrNoTerminal)
	}
	terminal, err := keeper.Terminal(ctx, string(id))
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", id, err)
	}
	return terminal, nil
}
