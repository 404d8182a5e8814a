// Package composing makes one containerizer of several: each container goes to the first that
// accepts it, and what is nested in it follows. Mesos docs/containerizers.md, composing.
//
// It owns who has which container. It promises that a container stays where it is for its life, that of
// the next agent included. It refuses to know what tells containers apart: each member says that.
package composing

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Member is one containerizer.
type Member struct {
	// Name is that of Mesos's flag --containerizers.
	Name string
	containerizer.Containerizer
	// Accepts says whether a root container is for this member.
	Accepts func(containerizer.Spec) bool
}

// Containerizer implements containerizer.Containerizer.
type Containerizer struct {
	members []Member

	mu     sync.Mutex
	owners map[containerizer.ID]*Member // of root containers
}

var _ containerizer.Containerizer = (*Containerizer)(nil)

// New composes members in their order.
func New(members ...Member) *Containerizer {
	return &Containerizer{members: members, owners: map[containerizer.ID]*Member{}}
}

// Recover implements containerizer.Containerizer.
func (c *Containerizer) Recover(ctx context.Context, known []containerizer.ID) ([]containerizer.Recovered, error) {
	var all []containerizer.Recovered
	for i := range c.members {
		m := &c.members[i]
		found, err := m.Recover(ctx, known)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		for _, r := range found {
			c.owners[r.ID.Root()] = m
		}
		c.mu.Unlock()
		all = append(all, found...)
	}
	return all, nil
}

// Launch implements containerizer.Containerizer.
func (c *Containerizer) Launch(ctx context.Context, spec containerizer.Spec) (int, error) {
	if _, nested := spec.ID.Parent(); nested {
		m, err := c.owner(spec.ID)
		if err != nil {
			return 0, err
		}
		return m.Launch(ctx, spec)
	}
	m, err := c.assign(spec)
	if err != nil {
		return 0, err
	}
	pid, err := m.Launch(ctx, spec)
	if err != nil {
		c.release(spec.ID)
	}
	return pid, err
}

// assign finds the member for a new root container.
func (c *Containerizer) assign(spec containerizer.Spec) (*Member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owners[spec.ID] != nil {
		return nil, fmt.Errorf("container %s exists", spec.ID)
	}
	for i := range c.members {
		if c.members[i].Accepts(spec) {
			c.owners[spec.ID] = &c.members[i]
			return &c.members[i], nil
		}
	}
	var names string
	for _, m := range c.members {
		names += " " + m.Name
	}
	return nil, fmt.Errorf("container %s: of type %s, which none of --containerizers runs:%s", spec.ID, spec.Container.GetType(), names)
}

func (c *Containerizer) release(id containerizer.ID) {
	if _, nested := id.Parent(); nested {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.owners, id)
}

func (c *Containerizer) owner(id containerizer.ID) (*Member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.owners[id.Root()]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("container %s: %w", id, containerizer.ErrUnknown)
}

// Wait implements containerizer.Containerizer.
func (c *Containerizer) Wait(ctx context.Context, id containerizer.ID) (containerizer.Termination, error) {
	m, err := c.owner(id)
	if err != nil {
		return containerizer.Termination{}, err
	}
	return m.Wait(ctx, id)
}

// Signal implements containerizer.Containerizer.
func (c *Containerizer) Signal(ctx context.Context, id containerizer.ID, signal syscall.Signal) error {
	m, err := c.owner(id)
	if err != nil {
		return err
	}
	return m.Signal(ctx, id, signal)
}

// Destroy implements containerizer.Containerizer.
func (c *Containerizer) Destroy(ctx context.Context, id containerizer.ID) error {
	m, err := c.owner(id)
	if err != nil {
		return err
	}
	return m.Destroy(ctx, id)
}

// Remove implements containerizer.Containerizer.
func (c *Containerizer) Remove(ctx context.Context, id containerizer.ID) error {
	m, err := c.owner(id)
	if err != nil {
		return err
	}
	if err := m.Remove(ctx, id); err != nil {
		return err
	}
	c.release(id)
	return nil
}

// Update implements containerizer.Containerizer.
func (c *Containerizer) Update(ctx context.Context, id containerizer.ID, resources []*mesos.Resource, limits map[string]float64) error {
	m, err := c.owner(id)
	if err != nil {
		return err
	}
	return m.Update(ctx, id, resources, limits)
}

// Status implements containerizer.Containerizer.
func (c *Containerizer) Status(ctx context.Context, id containerizer.ID) (*mesos.ContainerStatus, error) {
	m, err := c.owner(id)
	if err != nil {
		return nil, err
	}
	return m.Status(ctx, id)
}

// Usage implements containerizer.Containerizer.
func (c *Containerizer) Usage(ctx context.Context, id containerizer.ID) (*mesos.ResourceStatistics, error) {
	m, err := c.owner(id)
	if err != nil {
		return nil, err
	}
	return m.Usage(ctx, id)
}

// Exec implements containerizer.Containerizer.
func (c *Containerizer) Exec(ctx context.Context, exec containerizer.Exec) (containerizer.Session, error) {
	m, err := c.owner(exec.ID)
	if err != nil {
		return nil, err
	}
	return m.Exec(ctx, exec)
}

// Terminal is the outer end of a container's terminal, if the member that has it hands it out.
func (c *Containerizer) Terminal(ctx context.Context, id containerizer.ID) (*os.File, error) {
	m, err := c.owner(id)
	if err != nil {
		return nil, err
	}
	keeper, ok := m.Containerizer.(interface {
		Terminal(context.Context, containerizer.ID) (*os.File, error)
	})
	if !ok {
		return nil, fmt.Errorf("container %s: the %s containerizer hands out no terminals; open a session in it instead", id, m.Name)
	}
	return keeper.Terminal(ctx, id)
}
