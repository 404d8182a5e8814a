package cli

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	mesos "agora.dev/agora/api/mesos/v1"
)

func (a *App) psCommand() *cobra.Command {
	var all, watch bool
	cmd := &cobra.Command{
		Use:     "ps [NAME]",
		Short:   "List tasks",
		Example: "  agora ps -w\n  agora ps -a -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter := strings.Join(args, "")
			if watch {
				return a.watch(cmd.Context(), func(ctx context.Context) (table, error) { return a.psTable(ctx, filter, all) })
			}
			t, err := a.psTable(cmd.Context(), filter, all)
			if err != nil {
				return err
			}
			return a.print(t)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also tasks that have ended")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "print again whenever something changes")
	a.addOutput(cmd)
	return cmd
}

// psTask is a task as scripts see it.
type psTask struct {
	ID          string             `json:"id"`
	Name        string             `json:"name"`
	State       string             `json:"state"`
	Message     string             `json:"message,omitempty"`
	Node        string             `json:"node"`
	AgentID     string             `json:"agent_id"`
	Framework   string             `json:"framework"`
	FrameworkID string             `json:"framework_id"`
	Resources   map[string]float64 `json:"resources"`
	Ports       string             `json:"ports,omitempty"`
	Since       *time.Time         `json:"since,omitempty"`
}

func (a *App) psTable(ctx context.Context, filter string, all bool) (table, error) {
	v, err := a.look(ctx)
	if err != nil {
		return table{}, err
	}
	t := table{Columns: []string{"TASK", "NAME", "STATE", "SINCE", "NODE", "PORTS", "CPUS", "MEM", "FRAMEWORK", "MESSAGE"}, Wide: 4}
	values, pulling := []psTask{}, a.pulling(ctx, v.Tasks)
	for _, task := range v.Tasks {
		id := task.GetTaskId().GetValue()
		if task.Completed && !all || filter != "" && !strings.HasPrefix(id, filter) && !strings.HasPrefix(task.GetName(), filter) {
			continue
		}
		p := describeTask(task)
		state := p.State
		if text := pulling[id]; text != "" {
			p.Message, state = text, state+", "+text
		}
		values = append(values, p)
		t.Rows = append(t.Rows, []string{p.ID, p.Name, state, age(p.Since), p.Node, p.Ports,
			trim(p.Resources["cpus"]), trim(p.Resources["mem"]), p.Framework, p.Message})
	}
	t.Value = values
	return t, nil
}

func describeTask(t task) psTask {
	p := psTask{ID: t.GetTaskId().GetValue(), Name: t.GetName(), State: strings.TrimPrefix(t.GetState().String(), "TASK_"),
		Node: t.Agent.GetAgentInfo().GetHostname(), AgentID: t.GetAgentId().GetValue(),
		Framework: t.Framework.GetName(), FrameworkID: t.GetFrameworkId().GetValue(), Resources: map[string]float64{}}
	for _, resource := range t.GetResources() {
		switch resource.GetType() {
		case mesos.Value_SCALAR:
			p.Resources[resource.GetName()] += resource.GetScalar().GetValue()
		case mesos.Value_RANGES:
			if resource.GetName() == "ports" {
				p.Ports = joinRanges(p.Ports, resource.GetRanges())
			}
		}
	}
	if statuses := t.GetStatuses(); len(statuses) > 0 {
		last := statuses[len(statuses)-1]
		p.Message = last.GetMessage()
		if last.Timestamp != nil {
			seconds, fraction := math.Modf(last.GetTimestamp())
			since := time.Unix(int64(seconds), int64(fraction*1e9)).UTC()
			p.Since = &since
		}
	}
	return p
}

func joinRanges(text string, ranges *mesos.Value_Ranges) string {
	for _, r := range ranges.GetRange() {
		if text != "" {
			text += ","
		}
		text += fmt.Sprint(r.GetBegin())
		if r.GetEnd() != r.GetBegin() {
			text += fmt.Sprintf("-%d", r.GetEnd())
		}
	}
	return text
}

func trim(n float64) string { return strconv.FormatFloat(math.Round(n*1000)/1000, 'f', -1, 64) }

// age is how long ago t was, in the one or two units that matter.
func age(t *time.Time) string {
	if t == nil {
		return "-"
	}
	d := max(0, time.Since(*t))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
