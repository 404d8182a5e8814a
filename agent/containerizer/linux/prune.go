package linux

import (
	"context"

	mesos "agora.dev/agora/api/mesos/v1"
)

// provision makes an image's layers present and notes that the container uses them.
func (c *Containerizer) provision(ctx context.Context, b *box, image *mesos.Image) (RootFS, error) {
	c.pruning.RLock()
	defer c.pruning.RUnlock()
	provided, err := c.config.Images.Provision(ctx, image)
	if err != nil {
		return RootFS{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b.Layers = append(b.Layers, provided.Layers...)
	return provided, nil
}

// Prune calls remove with the layers that containers use. Meanwhile no image is provided:
// a launch that needs one waits.
func (c *Containerizer) Prune(remove func(used []string) error) error {
	c.pruning.Lock()
	defer c.pruning.Unlock()
	var used []string
	c.mu.Lock()
	for _, b := range c.boxes {
		used = append(used, b.Layers...)
	}
	c.mu.Unlock()
	return remove(used)
}
