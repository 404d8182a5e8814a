package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/agent/launchtrace"
)

// containers carries out what the core asks of containers: in order for each container,
// and side by side for different ones.
type containers struct {
	runtime containerizer.Containerizer
	prepare func(ctx context.Context, l core.LaunchContainer) error
	post    func(core.Event)
	// launched posts that a launch has ended well.
	launched func(core.ContainerLaunched, *launchtrace.Trace)
	records  *recorder // may be nil
	log      *slog.Logger
	ctx      context.Context // of Run
	wg       sync.WaitGroup

	mu        sync.Mutex
	jobs      map[containerizer.ID][]func()
	launching map[containerizer.ID]context.CancelFunc
	nested    map[containerizer.ID]*sync.WaitGroup // live children, by root
	asked     map[containerizer.ID]bool            // told to end
}

func newContainers(ctx context.Context, runtime containerizer.Containerizer, log *slog.Logger) *containers {
	return &containers{
		runtime: runtime, log: log, ctx: ctx, jobs: map[containerizer.ID][]func(){},
		launching: map[containerizer.ID]context.CancelFunc{}, nested: map[containerizer.ID]*sync.WaitGroup{},
		asked: map[containerizer.ID]bool{},
	}
}

// do queues a job of one container.
func (c *containers) do(id containerizer.ID, job func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	queue, busy := c.jobs[id]
	c.jobs[id] = append(queue, job)
	if busy {
		return
	}
	c.wg.Add(1)
	go c.work(id)
}

func (c *containers) work(id containerizer.ID) {
	defer c.wg.Done()
	for {
		c.mu.Lock()
		if len(c.jobs[id]) == 0 {
			delete(c.jobs, id)
			c.mu.Unlock()
			return
		}
		job := c.jobs[id][0]
		c.jobs[id] = c.jobs[id][1:]
		c.mu.Unlock()
		job()
	}
}

func (c *containers) launch(l core.LaunchContainer, trace *launchtrace.Trace) {
	id := l.Spec.ID
	ctx, cancel := context.WithCancel(launchtrace.With(c.ctx, trace))
	c.mu.Lock()
	c.launching[id] = cancel
	c.mu.Unlock()
	grown := c.settled(id.Root(), id)
	c.do(id, func() {
		defer cancel()
		select {
		case <-grown:
		case <-ctx.Done():
		}
		pid, err := c.start(ctx, l)
		c.mu.Lock()
		delete(c.launching, id)
		c.mu.Unlock()
		switch {
		case err != nil && c.ctx.Err() != nil:
			return // the agent ends; the next one finds nothing of this container
		case err != nil:
			c.post(core.ContainerLaunchFailed{ID: id, Message: oneLine(err)})
			return
		}
		status, err := c.runtime.Status(c.ctx, id)
		if err != nil {
			c.log.Debug("container status", "container", id, "error", err)
			status = nil
		}
		trace.Mark(launchtrace.Status)
		c.launched(core.ContainerLaunched{ID: id, PID: pid, Status: status}, trace)
		c.watch(id)
	})
}

// settled is closed when what is queued for root is done, so that a pod has grown before the
// container is launched that it grew for: version 1 of control groups lets none have more
// than its pod. A root waits for nothing.
func (c *containers) settled(root, id containerizer.ID) <-chan struct{} {
	done := make(chan struct{})
	c.mu.Lock()
	_, busy := c.jobs[root]
	c.mu.Unlock()
	if root == id || !busy {
		close(done)
	} else {
		c.do(root, func() { close(done) })
	}
	return done
}

func (c *containers) start(ctx context.Context, l core.LaunchContainer) (int, error) {
	if err := c.prepare(ctx, l); err != nil {
		return 0, err
	}
	launchtrace.Of(ctx).Mark(launchtrace.Sandbox)
	return c.runtime.Launch(ctx, l.Spec)
}

// oneLine makes an error fit for a status message.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// watch posts the end of a container. A root is reported after its children.
func (c *containers) watch(id containerizer.ID) {
	_, isNested := id.Parent()
	group := c.group(id.Root())
	if isNested {
		group.Add(1)
	}
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		how, err := c.runtime.Wait(c.ctx, id)
		if c.ctx.Err() != nil {
			if isNested {
				group.Done()
			}
			return
		}
		if err != nil {
			how = containerizer.Termination{Message: fmt.Sprintf("wait for container %s: %s", id, oneLine(err))}
		}
		if !isNested {
			group.Wait()
			c.mu.Lock()
			delete(c.nested, id)
			c.mu.Unlock()
		}
		c.mu.Lock()
		asked := c.asked[id]
		c.mu.Unlock()
		record := c.records.begin(c.ctx, id, asked)
		c.post(core.ContainerTerminated{ID: id, Termination: how})
		if isNested {
			group.Done()
		}
		c.records.end(c.ctx, record, how)
	}()
}

func (c *containers) group(root containerizer.ID) *sync.WaitGroup {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nested[root] == nil {
		c.nested[root] = &sync.WaitGroup{}
	}
	return c.nested[root]
}

func (c *containers) signal(s core.SignalContainer) {
	c.mu.Lock()
	c.asked[s.ID] = true
	c.mu.Unlock()
	c.do(s.ID, func() {
		err := c.runtime.Signal(c.ctx, s.ID, s.Signal)
		c.check("signal", s.ID, err)
		if err != nil && c.ctx.Err() == nil {
			c.post(core.ContainerNotSignalled{ID: s.ID})
		}
	})
}

// destroy also ends a launch that is under way.
func (c *containers) destroy(id containerizer.ID) {
	c.mu.Lock()
	c.asked[id] = true
	if cancel := c.launching[id]; cancel != nil {
		cancel()
	}
	c.mu.Unlock()
	c.do(id, func() { c.check("destroy", id, c.runtime.Destroy(c.ctx, id)) })
}

func (c *containers) remove(id containerizer.ID) {
	c.mu.Lock()
	delete(c.asked, id)
	c.mu.Unlock()
	c.do(id, func() { c.check("remove", id, c.runtime.Remove(c.ctx, id)) })
}

func (c *containers) update(u core.UpdateContainer) {
	c.do(u.ID, func() {
		err := c.runtime.Update(c.ctx, u.ID, u.Resources, u.Limits)
		if err != nil && !c.ended(u.ID) {
			c.check("update", u.ID, err)
			c.post(core.ContainerNotUpdated{ID: u.ID, Message: oneLine(err)})
		}
	})
}

// ended reports whether a container has ended, or the agent is about to.
func (c *containers) ended(id containerizer.ID) bool {
	now, cancel := context.WithCancel(c.ctx)
	cancel()
	_, err := c.runtime.Wait(now, id)
	return err == nil || errors.Is(err, containerizer.ErrUnknown) || c.ctx.Err() != nil
}

func (c *containers) check(what string, id containerizer.ID, err error) {
	if err != nil && c.ctx.Err() == nil {
		c.log.Debug("container "+what, "container", id, "error", err)
	}
}
