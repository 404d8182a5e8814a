package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"agora.dev/agora/agent/containerizer"
)

var errDestroyed = errors.New("container was destroyed during its launch")

// Launch implements containerizer.Containerizer.
func (c *Containerizer) Launch(ctx context.Context, spec containerizer.Spec) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b, err := c.begin(spec.ID, false, cancel)
	if err != nil {
		return 0, err
	}
	pid, err := c.launch(ctx, spec)
	if err == nil {
		err = c.running(b, pid, "")
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		c.abandon(b)
		return 0, err
	}
	c.watch(b)
	close(b.ready)
	return pid, nil
}

// abandon undoes a launch that failed.
func (c *Containerizer) abandon(b *box) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), containerizer.LaunchTimeout)
	defer cancel()
	if !b.nested() {
		if err := c.erase(ctx, b.id); err != nil {
			c.log.Error("container that did not start is left in the Docker Engine", "container", b.id, "error", err)
		}
	}
	c.forget(b)
	close(b.ended)
	close(b.ready) // who waits for it finds the end
}

// erase removes a container from the Engine, whatever its state, and what we keep of it.
func (c *Containerizer) erase(ctx context.Context, id containerizer.ID) error {
	if err := c.remove(ctx, name(id)); err != nil {
		return err
	}
	return os.RemoveAll(c.dir(id))
}

// remove removes what the Engine knows by a name or by its own id.
func (c *Containerizer) remove(ctx context.Context, container string) error {
	_, err := c.engine.ContainerRemove(ctx, container, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove container %s: %w", container, err)
	}
	return nil
}

func (c *Containerizer) launch(ctx context.Context, spec containerizer.Spec) (int, error) {
	if _, nested := spec.ID.Parent(); nested {
		return 0, fmt.Errorf("container %s: a container of the Docker Engine has no containers in it, only commands", spec.ID)
	}
	if spec.Command == nil || !Accepts(spec) {
		return 0, fmt.Errorf("container %s: the Docker Engine runs commands in containers of type DOCKER", spec.ID)
	}
	if spec.UserNamespace == "private" {
		return 0, fmt.Errorf("container %s: userns=private: the Docker Engine has one user namespace for all (its userns-remap) or none; use a container of type MESOS", spec.ID)
	}
	options, err := describe(spec, c.config.Agent, c.config.Rules)
	if err != nil {
		return 0, fmt.Errorf("container %s: %w", spec.ID, err)
	}
	bounds, err := c.config.Output.For(spec.Variable)
	if err != nil {
		return 0, fmt.Errorf("container %s: %w", spec.ID, err)
	}
	if err := c.prepare(ctx, spec, &options); err != nil {
		return 0, err
	}
	return c.start(ctx, spec.ID, options, output{spec.Sandbox, options.Config.Tty, &bounds})
}

// prepare provides what a container needs on this host.
func (c *Containerizer) prepare(ctx context.Context, spec containerizer.Spec, options *client.ContainerCreateOptions) error {
	if err := c.provide(ctx, options.Config.Image, spec.Container.GetDocker().GetForcePullImage()); err != nil {
		return fmt.Errorf("provision image of container %s: %w", spec.ID, err)
	}
	if err := c.advance(spec.ID, containerizer.Preparing); err != nil {
		return err
	}
	if err := c.giveGPUs(ctx, spec, options); err != nil {
		return fmt.Errorf("container %s: %w", spec.ID, err)
	}
	if err := c.advance(spec.ID, containerizer.Fetching); err != nil {
		return err
	}
	if err := c.fetch(ctx, spec); err != nil {
		return fmt.Errorf("fetch for container %s: %w", spec.ID, err)
	}
	if err := makeSources(spec.Sandbox, options.HostConfig.Mounts); err != nil {
		return fmt.Errorf("container %s: %w", spec.ID, err)
	}
	return c.advance(spec.ID, containerizer.Launching)
}

// start has the Engine make a container and start it.
func (c *Containerizer) start(ctx context.Context, id containerizer.ID, options client.ContainerCreateOptions, o output) (int, error) {
	if err := c.erase(ctx, id); err != nil { // one of this name that had ended
		return 0, err
	}
	if _, err := c.engine.ContainerCreate(ctx, options); err != nil {
		return 0, fmt.Errorf("create container %s: %w", id, err)
	}
	if err := os.MkdirAll(c.dir(id), 0o700); err != nil {
		return 0, err
	}
	if err := c.record(id, o); err != nil {
		return 0, err
	}
	if _, err := c.engine.ContainerStart(ctx, name(id), client.ContainerStartOptions{}); err != nil {
		return 0, fmt.Errorf("start container %s: %w", id, err)
	}
	found, err := c.engine.ContainerInspect(ctx, name(id), client.ContainerInspectOptions{})
	if err != nil {
		return 0, fmt.Errorf("start container %s: %w", id, err)
	}
	return found.Container.State.Pid, nil
}

func (c *Containerizer) fetch(ctx context.Context, spec containerizer.Spec) error {
	uris := spec.Command.GetUris()
	if len(uris) == 0 {
		return nil
	}
	if c.config.Fetcher == nil {
		return errors.New("this agent fetches no URIs")
	}
	stderr, err := os.OpenFile(filepath.Join(spec.Sandbox, "stderr"), os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	defer stderr.Close()
	return c.config.Fetcher.Fetch(ctx, uris, spec.Sandbox, spec.User, stderr)
}

// makeSources makes the directories that volumes come from, where they are missing. What was fetched
// may hold links that lead out of the sandbox: such a volume is refused.
func makeSources(sandbox string, mounts []mount.Mount) error {
	dir, err := os.OpenRoot(sandbox)
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, m := range mounts {
		inside, ok := strings.CutPrefix(m.Source, sandbox+"/")
		switch {
		case m.Type != mount.TypeBind:
			continue
		case !ok:
			if _, err := os.Stat(m.Source); os.IsNotExist(err) {
				if err := os.MkdirAll(m.Source, 0o755); err != nil {
					return fmt.Errorf("volume from %s: %w", m.Source, err)
				}
			}
			continue
		}
		if _, err := dir.Stat(inside); err == nil {
			continue
		}
		if err := dir.MkdirAll(inside, 0o755); err != nil {
			return fmt.Errorf("volume from %q in the sandbox: %w", inside, err)
		}
	}
	return nil
}
