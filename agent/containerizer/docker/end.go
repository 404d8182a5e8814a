package docker

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// watch copies the output of a container and waits for its end.
func (c *Containerizer) watch(b *box) {
	ctx, stop := context.WithCancel(c.ctx)
	c.mu.Lock()
	b.stop = stop
	c.mu.Unlock()
	c.work.Go(func() { c.copyOutput(ctx, b) })
	c.work.Go(func() {
		state, err := c.awaitEnd(b.id)
		if c.ctx.Err() != nil && state == nil {
			return // the next agent hears of it
		}
		result := containerizer.Termination{Message: fmt.Sprintf("The Docker Engine has lost the container: %v", err)}
		if state != nil {
			result = c.termination(b, state)
		}
		close(b.over)
		c.awaitOutput(b)
		c.end(b, result)
	})
}

// lastWords bounds the wait for the rest of the output after the end, while none comes.
const lastWords = 5 * time.Second

func (c *Containerizer) awaitOutput(b *box) {
	for heard := int64(-1); heard != b.heard.Load(); {
		heard = b.heard.Load()
		select {
		case <-b.copied:
			return
		case <-time.After(lastWords):
		case <-c.ctx.Done():
			return
		}
	}
}

// awaitEnd returns the final state of a container, or nil when the Engine does not have it, or this
// agent ends. An Engine that is being restarted is waited for.
func (c *Containerizer) awaitEnd(id containerizer.ID) (*container.State, error) {
	for {
		err := c.waitOnce(id)
		if c.ctx.Err() != nil {
			return nil, c.ctx.Err()
		}
		found, inspect := c.engine.ContainerInspect(c.ctx, name(id), client.ContainerInspectOptions{})
		switch {
		case errdefs.IsNotFound(inspect):
			return nil, inspect
		case inspect == nil && !found.Container.State.Running && found.Container.State.Status != container.StateCreated:
			return found.Container.State, nil
		}
		c.log.Debug("wait for container", "container", id, "error", err, "inspect", inspect)
		select {
		case <-time.After(retryPause):
		case <-c.ctx.Done():
			return nil, c.ctx.Err()
		}
	}
}

func (c *Containerizer) waitOnce(id containerizer.ID) error {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	wait := c.engine.ContainerWait(ctx, name(id), client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case <-wait.Result:
		return nil
	case err := <-wait.Error:
		return err
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// termination explains the final state of a container.
func (c *Containerizer) termination(b *box, state *container.State) containerizer.Termination {
	c.mu.Lock()
	sent := b.sent
	c.mu.Unlock()
	status := waitStatus(state.ExitCode, sent, state.OOMKilled)
	out := containerizer.Termination{Status: &status}
	switch {
	case state.OOMKilled:
		out.State, out.Reason = mesos.TaskState_TASK_FAILED, mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY
		out.Message = "Memory limit exceeded: the Docker Engine reports that the kernel ended container " + string(b.id)
	case state.Error != "":
		out.Message = state.Error
	}
	return out
}

// signalled is what the Engine adds to the number of a signal, as a shell does. A command can
// exit with such a code by itself; it counts as the signal only when one was sent.
const signalled = 128

// waitStatus is the raw status of an exit code.
func waitStatus(code int, sent syscall.Signal, outOfMemory bool) int32 {
	killed := outOfMemory && code == signalled+int(syscall.SIGKILL)
	if sent != 0 && code == signalled+int(sent) || sent != 0 && code == signalled+int(syscall.SIGKILL) || killed {
		return int32(code - signalled)
	}
	return int32(code&0xff) << 8
}
