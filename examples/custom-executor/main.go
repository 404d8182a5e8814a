// Command custom-executor is the smallest useful executor: it runs tasks as goroutines.
// Each task counts to the number in its data (10 by default), a line a second, and
// finishes; a kill ends it early.
//
// Launch it with an ExecutorInfo of type CUSTOM whose command is this program. The agent
// gives it its identity, the agent's address and its credential by the environment.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	mesos "agora.dev/agora/api/mesos/v1"
	api "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/client/executor"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil && !errors.Is(err, errShutdown) && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "custom-executor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	env, err := executor.ReadEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	client := executor.New(executor.Config{Environment: env})
	defer client.Close()
	return client.Run(ctx, &counter{client: client, tasks: map[string]context.CancelFunc{}})
}

// errShutdown ends the client's Run after SHUTDOWN.
var errShutdown = errors.New("asked to shut down")

// counter runs the tasks.
type counter struct {
	client *executor.Client
	wg     sync.WaitGroup

	mu    sync.Mutex
	tasks map[string]context.CancelFunc
}

// Event follows the agent.
func (c *counter) Event(ctx context.Context, event *api.Event) error {
	switch event.GetType() {
	case api.Event_SUBSCRIBED:
		fmt.Println("subscribed with agent", event.GetSubscribed().GetAgentInfo().GetHostname())
	case api.Event_LAUNCH:
		c.launch(ctx, event.GetLaunch().GetTask())
	case api.Event_KILL:
		c.mu.Lock()
		if cancel := c.tasks[event.GetKill().GetTaskId().GetValue()]; cancel != nil {
			cancel()
		}
		c.mu.Unlock()
	case api.Event_SHUTDOWN:
		c.mu.Lock()
		for _, cancel := range c.tasks {
			cancel()
		}
		c.mu.Unlock()
		c.wg.Wait()
		return errShutdown
	}
	return nil
}

// Disconnected is nothing to worry about: tasks go on, the client subscribes again.
func (c *counter) Disconnected(err error) { fmt.Println("disconnected:", err) }

func (c *counter) launch(ctx context.Context, task *mesos.TaskInfo) {
	id := task.GetTaskId().GetValue()
	running, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	c.tasks[id] = cancel
	c.mu.Unlock()
	c.wg.Go(func() {
		defer cancel()
		c.update(ctx, id, mesos.TaskState_TASK_RUNNING)
		c.update(ctx, id, count(running, id, task.GetData()))
		c.mu.Lock()
		delete(c.tasks, id)
		c.mu.Unlock()
	})
}

// count is the work of a task.
func count(ctx context.Context, id string, data []byte) mesos.TaskState {
	limit := 10
	if n, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
		limit = n
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; n <= limit; n++ {
		fmt.Println(id, n)
		if n == limit {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return mesos.TaskState_TASK_KILLED
		}
	}
	return mesos.TaskState_TASK_FINISHED
}

// update tells the agent. An update that does not get through is kept by the client and
// goes out with the next subscription.
func (c *counter) update(ctx context.Context, id string, state mesos.TaskState) {
	uuid := uuid.New()
	err := c.client.Call(ctx, &api.Call{
		Type: api.Call_UPDATE.Enum(),
		Update: &api.Call_Update{Status: &mesos.TaskStatus{
			TaskId: &mesos.TaskID{Value: &id}, State: &state, Uuid: uuid[:],
			Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum(), Timestamp: proto.Float64(float64(time.Now().UnixMicro()) / 1e6),
		}},
	})
	if err != nil {
		fmt.Println("update of", id, "waits:", err)
	}
}
