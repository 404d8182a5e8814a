package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	mesos "agora.dev/agora/api/mesos/v1"
	agentpb "agora.dev/agora/api/mesos/v1/agent"
	masterpb "agora.dev/agora/api/mesos/v1/master"
)

// usage is a row of agora top.
type usage struct {
	Task      string  `json:"task"`
	Node      string  `json:"node"`
	CPUs      float64 `json:"cpus"` // used, over the interval
	CPUsLimit float64 `json:"cpusLimit"`
	MemMiB    float64 `json:"memMiB"`
	LimitMiB  float64 `json:"memLimitMiB"`
	Processes uint32  `json:"processes"`
}

func (a *App) topCommand() *cobra.Command {
	var interval time.Duration
	cmd := &cobra.Command{
		Use:     "top",
		Short:   "What running tasks use of CPU and memory",
		Example: "  agora top\n  agora top --interval 5s -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval <= 0 {
				return usagef("--interval must be above 0")
			}
			rows, err := a.usage(cmd.Context(), interval)
			if err != nil {
				return err
			}
			t := table{Columns: []string{"TASK", "NODE", "CPU", "CPU LIMIT", "MEM MiB", "MEM LIMIT", "PROCESSES"}, Value: rows}
			for _, r := range rows {
				t.Rows = append(t.Rows, []string{r.Task, r.Node, fmt.Sprintf("%.2f", r.CPUs), fmt.Sprintf("%.2f", r.CPUsLimit),
					fmt.Sprintf("%.1f", r.MemMiB), fmt.Sprintf("%.0f", r.LimitMiB), fmt.Sprint(r.Processes)})
			}
			return a.print(t)
		},
	}
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "time over which CPU is measured")
	a.addOutput(cmd)
	return cmd
}

// usage measures every agent twice.
func (a *App) usage(ctx context.Context, interval time.Duration) ([]usage, error) {
	v, err := a.look(ctx)
	if err != nil {
		return nil, err
	}
	tasks := map[string]task{} // by container
	agents := map[string]*masterpb.Response_GetAgents_Agent{}
	for _, t := range v.Tasks {
		if id, err := t.container(); err == nil && t.Agent != nil {
			tasks[flatID(id)] = t
			agents[t.Agent.GetAgentInfo().GetId().GetValue()] = t.Agent
		}
	}
	before, err := a.statistics(ctx, agents)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(interval):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	after, err := a.statistics(ctx, agents)
	if err != nil {
		return nil, err
	}
	rows := []usage{}
	for id, now := range after {
		t, ok := tasks[id]
		was := before[id]
		if !ok || was == nil {
			continue
		}
		rows = append(rows, row(t, was, now))
	}
	slices.SortFunc(rows, func(x, y usage) int {
		return cmp.Or(cmp.Compare(y.CPUs, x.CPUs), cmp.Compare(x.Task, y.Task))
	})
	return rows, nil
}

func row(t task, was, now *mesos.ResourceStatistics) usage {
	const mib = 1 << 20
	out := usage{Task: t.GetTaskId().GetValue(), Node: t.Agent.GetAgentInfo().GetHostname(), CPUsLimit: now.GetCpusLimit(),
		MemMiB: float64(now.GetMemTotalBytes()) / mib, LimitMiB: float64(now.GetMemLimitBytes()) / mib, Processes: now.GetProcesses()}
	if took := now.GetTimestamp() - was.GetTimestamp(); took > 0 {
		out.CPUs = (now.GetCpusUserTimeSecs() + now.GetCpusSystemTimeSecs() - was.GetCpusUserTimeSecs() - was.GetCpusSystemTimeSecs()) / took
	}
	return out
}

// statistics are those of all containers of some agents.
func (a *App) statistics(ctx context.Context, agents map[string]*masterpb.Response_GetAgents_Agent) (map[string]*mesos.ResourceStatistics, error) {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		first error
		out   = map[string]*mesos.ResourceStatistics{}
		slots = make(chan struct{}, 16)
	)
	nested := true
	for _, agent := range agents {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			response, err := a.callAgent(ctx, agent, &agentpb.Call{Type: agentpb.Call_GET_CONTAINERS.Enum(),
				GetContainers: &agentpb.Call_GetContainers{ShowNested: &nested}})
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = err
			}
			for _, c := range response.GetGetContainers().GetContainers() {
				if c.GetResourceStatistics() != nil {
					out[flatID(c.GetContainerId())] = c.GetResourceStatistics()
				}
			}
		})
	}
	wg.Wait()
	return out, first
}

// flatID joins the values of a container and those above it with dots.
func flatID(id *mesos.ContainerID) string {
	if id.GetParent() == nil {
		return id.GetValue()
	}
	return flatID(id.GetParent()) + "." + id.GetValue()
}
