package main

import (
	"context"
	"fmt"
	"time"

	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/client/scheduler"
	"agora.dev/agora/client/simagents"
)

// population is how large a simulated cluster is.
type population struct {
	// Tasks on each agent, Completed of each framework.
	Agents, Tasks, Frameworks, Completed int
}

// populated is a measured master with simulated agents, each with a real link.
type populated struct {
	*measuredMaster
	owners *simagents.Owners
	fleet  *simagents.Fleet
	cancel context.CancelFunc
}

// populate starts a measured master, and joins agents from this process over sockets.
func populate(p population) (*populated, error) {
	m, err := startMeasuredMaster(population{})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &populated{measuredMaster: m, cancel: cancel}
	c.owners, c.fleet, err = join(ctx, m.address, p, func(ctx context.Context, _ int) (*agentlink.Stream, error) {
		return agentlink.Dial(ctx, m.address)
	})
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// join subscribes the frameworks and joins the agents.
func join(ctx context.Context, address string, p population,
	dial func(context.Context, int) (*agentlink.Stream, error)) (*simagents.Owners, *simagents.Fleet, error) {
	owners, err := simagents.Own(ctx, scheduler.Config{Masters: []string{address}}, "", p.Frameworks)
	if err != nil {
		return nil, nil, err
	}
	patience, done := context.WithTimeout(ctx, 10*time.Minute)
	defer done()
	fleet, err := simagents.Join(patience, simagents.Config{Agents: p.Agents, Tasks: p.Tasks, Completed: p.Completed,
		Frameworks: owners.Infos, Dial: dial})
	if err != nil {
		return owners, nil, fmt.Errorf("join %d simulated agents: %w", p.Agents, err)
	}
	return owners, fleet, nil
}

// close ends the master first: nobody needs the goodbyes of the agents.
func (c *populated) close() {
	c.stop()
	if c.fleet != nil {
		c.fleet.Close()
	}
	c.cancel()
}
