package remote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"agora.dev/agora/agent/launcher"
)

// Keeper is a launcher that is started again when its process has ended: the next one
// adopts the containers of the one before.
type Keeper struct {
	dir     string
	command []string

	mu     sync.Mutex
	client *Client
}

var (
	_ launcher.Launcher  = (*Keeper)(nil)
	_ launcher.Terminals = (*Keeper)(nil)
)

// Keep connects to the launcher in dir as Ensure does, and from then on whenever that is
// needed.
func Keep(ctx context.Context, dir string, command ...string) (*Keeper, error) {
	client, err := Ensure(ctx, dir, command...)
	if err != nil {
		return nil, err
	}
	return &Keeper{dir: dir, command: command, client: client}, nil
}

func (k *Keeper) current() *Client {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.client
}

// again replaces the client that failed, unless somebody has done so.
func (k *Keeper) again(ctx context.Context, failed *Client) (*Client, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client != failed {
		return k.client, nil
	}
	client, err := Ensure(ctx, k.dir, k.command...)
	if err != nil {
		return nil, err
	}
	failed.Close()
	k.client = client
	return client, nil
}

// retry makes a call that may be made twice.
func retry[T any](ctx context.Context, k *Keeper, call func(*Client) (T, error)) (T, error) {
	client := k.current()
	for range 3 {
		out, err := call(client)
		if !errors.Is(err, ErrAway) || ctx.Err() != nil {
			return out, err
		}
		if client, err = k.again(ctx, client); err != nil {
			return out, err
		}
	}
	return call(client)
}

// reach finds out whether the launcher is there, and starts the next one if not, while nothing is lost yet.
func (k *Keeper) reach(ctx context.Context) (*Client, error) {
	client := k.current()
	if client.held() {
		return client, nil
	}
	return k.again(ctx, client)
}

// none makes a call without a result fit for retry.
func none(call func(*Client) error) func(*Client) (struct{}, error) {
	return func(c *Client) (struct{}, error) { return struct{}{}, call(c) }
}

// Start implements launcher.Launcher. When the launcher ends in the middle, what there is
// of the container is destroyed, and the start fails.
func (k *Keeper) Start(ctx context.Context, request launcher.Request) (int, error) {
	client, err := k.reach(ctx)
	if err != nil {
		return 0, err
	}
	pid, err := client.Start(ctx, request)
	return pid, k.half(ctx, request.ID, err)
}

// Enter implements launcher.Launcher.
func (k *Keeper) Enter(ctx context.Context, enter launcher.Enter) (int, error) {
	client, err := k.reach(ctx)
	if err != nil {
		return 0, err
	}
	pid, err := client.Enter(ctx, enter)
	return pid, k.half(ctx, enter.ID, err)
}

// Terminal implements launcher.Terminals.
func (k *Keeper) Terminal(ctx context.Context, id string) (*os.File, error) {
	return retry(ctx, k, func(c *Client) (*os.File, error) { return c.Terminal(ctx, id) })
}

// half cleans up after a start during which the launcher ended.
func (k *Keeper) half(ctx context.Context, id string, err error) error {
	if !errors.Is(err, ErrAway) || ctx.Err() != nil {
		return err
	}
	for _, clean := range []func(context.Context, string) error{k.Destroy, k.Remove} {
		if cleanErr := clean(ctx, id); cleanErr != nil && !errors.Is(cleanErr, launcher.ErrUnknownContainer) {
			return fmt.Errorf("%w; clean up: %w", err, cleanErr)
		}
	}
	return err
}

// Wait implements launcher.Launcher.
func (k *Keeper) Wait(ctx context.Context, id string) (launcher.Exit, error) {
	return retry(ctx, k, func(c *Client) (launcher.Exit, error) { return c.Wait(ctx, id) })
}

// Signal implements launcher.Launcher.
func (k *Keeper) Signal(ctx context.Context, id string, signal syscall.Signal) error {
	_, err := retry(ctx, k, none(func(c *Client) error { return c.Signal(ctx, id, signal) }))
	return err
}

// Destroy implements launcher.Launcher.
func (k *Keeper) Destroy(ctx context.Context, id string) error {
	_, err := retry(ctx, k, none(func(c *Client) error { return c.Destroy(ctx, id) }))
	return err
}

// Remove implements launcher.Launcher.
func (k *Keeper) Remove(ctx context.Context, id string) error {
	_, err := retry(ctx, k, none(func(c *Client) error { return c.Remove(ctx, id) }))
	return err
}

// List implements launcher.Launcher.
func (k *Keeper) List(ctx context.Context) ([]launcher.Container, error) {
	return retry(ctx, k, func(c *Client) ([]launcher.Container, error) { return c.List(ctx) })
}

// Close drops the connections; launcher and containers run on.
func (k *Keeper) Close() error { return k.current().Close() }

// Stop ends the launcher's process; containers run on.
func (k *Keeper) Stop(ctx context.Context) error { return k.current().Stop(ctx) }
