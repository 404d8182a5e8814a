package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"agora.dev/agora/agent/images/logins"
	"agora.dev/agora/internal/metrics"
)

// header is what the Engine is told for an image; empty without a login.
func header(all logins.Logins, image reference.Named) (string, error) {
	login := all.For(reference.Domain(image), reference.Path(image))
	if login == (logins.Login{}) {
		return "", nil
	}
	return authconfig.Encode(registry.AuthConfig{Username: login.Username, Password: login.Password,
		IdentityToken: login.IdentityToken, RegistryToken: login.RegistryToken, ServerAddress: reference.Domain(image)})
}

// Pulls has the time of each pull of the Engine.
func (c *Containerizer) Pulls() *metrics.Timer { return &c.pulls }

// provide has the Engine pull an image that it does not have, or that has to be fresh.
func (c *Containerizer) provide(ctx context.Context, image string, force bool) error {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return fmt.Errorf("image %q: %w", image, err)
	}
	if !force {
		_, err := c.engine.ImageInspect(ctx, image)
		if err == nil || !errdefs.IsNotFound(err) {
			return err
		}
	}
	login, err := header(c.config.Logins, named)
	if err != nil {
		return fmt.Errorf("image %q: %w", image, err)
	}
	begun := time.Now()
	pull, err := c.engine.ImagePull(ctx, reference.TagNameOnly(named).String(), client.ImagePullOptions{RegistryAuth: login})
	if err != nil {
		return fmt.Errorf("pull %s: %w", image, err)
	}
	if err := pull.Wait(ctx); err != nil {
		return fmt.Errorf("pull %s: %w", image, err)
	}
	c.pulls.Observe(time.Since(begun))
	return nil
}
