package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/client/simagents"
)

// population is how large a simulated cluster is.
type population struct {
	agents, tasks, frameworks, completed int // tasks on each agent, completed of each framework
}

// populated is a measured master with simulated agents, each with a real link.
type populated struct {
	*measuredMaster
	owners *simagents.Owners
	fleet  *simagents.Fleet
	joined time.Duration
	cancel context.CancelFunc
}

// perAddress is how many links leave from one address of the loopback network: the kernel has
// some 28,000 ports for each.
const perAddress = 20_000

func populate(p population) (*populated, error) {
	m, err := startMeasuredMaster()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &populated{measuredMaster: m, cancel: cancel}
	if c.owners, err = simagents.Own(ctx, m.address, p.frameworks); err != nil {
		c.close()
		return nil, err
	}
	patience, done := context.WithTimeout(ctx, 10*time.Minute)
	defer done()
	began := time.Now()
	c.fleet, err = simagents.Join(patience, simagents.Config{Agents: p.agents, Tasks: p.tasks, Completed: p.completed,
		Frameworks: c.owners.Infos, Dial: func(ctx context.Context, n int) (*agentlink.Stream, error) {
			local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+n/perAddress))}
			return agentlink.Dialer{Local: local}.Dial(ctx, m.address)
		}})
	if err != nil {
		c.close()
		return nil, fmt.Errorf("join %d simulated agents: %w", p.agents, err)
	}
	c.joined = time.Since(began)
	return c, nil
}

// manyDescriptors is more than the largest population needs.
const manyDescriptors = 200_000

// raiseDescriptors lets this process and its master have a connection for every agent; where
// that is not allowed, the measurement says so when it runs out.
func raiseDescriptors() {
	limit := unix.Rlimit{Cur: manyDescriptors, Max: manyDescriptors}
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

// close ends the master first: nobody needs the goodbyes of the agents.
func (c *populated) close() {
	c.stop()
	if c.fleet != nil {
		c.fleet.Close()
	}
	c.cancel()
}
