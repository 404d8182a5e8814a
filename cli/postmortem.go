package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	record "agora.dev/agora/api/agora/postmortem"
)

// postmortem is what an agent keeps of an ended run (agent/blackbox), with the end of its output.
type postmortem struct {
	record.Record
	Node   string `json:"node"`
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
}

func (a *App) postmortemCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "postmortem TASK",
		Short: "How a task ended, and the last that it wrote",
		Long: `How a task that is over ended, what it used, and the last 16 KiB of its output and of its errors. Its agent keeps this
of the last 200 runs that failed and the last 50 others, when their sandboxes are gone, too. A name means the newest of its ended tasks.`,
		Example:           "  agora postmortem web\n  agora postmortem web.instance-6f1.c -o json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeEndedTasks,
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := a.look(cmd.Context())
			if err != nil {
				return err
			}
			t, err := v.endedTask(args[0])
			if err != nil {
				return err
			}
			p, err := a.postmortem(cmd.Context(), t)
			if err != nil {
				return err
			}
			return a.printPostmortem(p)
		},
	}
	a.addOutput(cmd)
	return cmd
}

// endedTask finds a task that is over: by its ID, or the newest that its name or the start of its ID means.
func (v *view) endedTask(name string) (task, error) {
	ended := &view{}
	for _, t := range v.Tasks {
		if t.Completed {
			ended.Tasks = append(ended.Tasks, t)
		} else if t.GetTaskId().GetValue() == name {
			return task{}, notFoundf("task %q is not over; agora logs prints what it has written", name)
		}
	}
	found, err := ended.find(name)
	if err != nil {
		return task{}, notFoundf("no ended task %q; agora ps -a lists them", name)
	}
	return found[0], nil
}

// postmortem reads a record through the task's agent.
func (a *App) postmortem(ctx context.Context, t task) (p postmortem, err error) {
	id, framework := t.GetTaskId().GetValue(), t.GetFrameworkId().GetValue()
	dir := "/postmortem/frameworks/" + framework + "/tasks/" + id
	if executor := t.GetExecutorId().GetValue(); executor != "" {
		// A task of a custom executor has no run of its own.
		p, err = a.readPostmortem(ctx, t, dir)
		if err == nil || isUnreachable(err) {
			return p, err
		}
		dir = "/postmortem/frameworks/" + framework + "/executors/" + executor
	}
	if p, err = a.readPostmortem(ctx, t, dir); err != nil && !isUnreachable(err) {
		return p, notFoundf("nothing is kept of task %s: its agent keeps the last 200 runs that failed and the last 50 others (%v)", id, err)
	}
	return p, err
}

func (a *App) readPostmortem(ctx context.Context, t task, dir string) (p postmortem, err error) {
	file := &sandboxFile{app: a, agent: t.Agent}
	read := func(name string) []byte {
		if err != nil {
			return nil
		}
		var data []byte
		_, data, err = file.read(ctx, dir+"/"+name, 0, logChunk)
		return data
	}
	record, stdout, stderr := read("record.json"), read("stdout"), read("stderr")
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(record, &p); err != nil {
		return p, fmt.Errorf("record of the agent: %w", err)
	}
	p.Node = t.Agent.GetAgentInfo().GetHostname()
	p.Task = t.GetTaskId().GetValue()
	p.Stdout, p.Stderr = strings.ToValidUTF8(string(stdout), "\uFFFD"), strings.ToValidUTF8(string(stderr), "\uFFFD")
	return p, nil
}

func (a *App) printPostmortem(p postmortem) error {
	if a.output == "json" || a.output == "yaml" {
		return a.print(table{Value: p})
	}
	var out strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&out, "%-12s"+format+"\n", append([]any{name}, args...)...)
	}
	line("Task", "%s", p.Task)
	line("Node", "%s", p.Node)
	line("Cause", "%s", p.Cause)
	if p.Reason != "" {
		line("Reason", "%s", p.Reason)
	}
	if !p.Started.IsZero() {
		line("Started", "%s", p.Started.Format(time.RFC3339))
	}
	line("Ended", "%s", p.Ended.Format(time.RFC3339))
	line("CPU time", "%.2f s", p.CPUSeconds)
	if p.PeakMemoryBytes > 0 {
		line("Peak memory", "%.1f MiB", float64(p.PeakMemoryBytes)/(1<<20))
	}
	for _, part := range []struct{ name, text string }{{"stdout", p.Stdout}, {"stderr", p.Stderr}} {
		if part.text == "" {
			continue
		}
		fmt.Fprintf(&out, "\n--- the end of %s\n%s", part.name, part.text)
		if !strings.HasSuffix(part.text, "\n") {
			out.WriteString("\n")
		}
	}
	_, err := a.Out.Write([]byte(out.String()))
	return err
}

// completeEndedTasks offers the tasks that are over to the shell.
func (a *App) completeEndedTasks(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	v, err := a.look(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, t := range v.Tasks {
		if t.Completed {
			names = append(names, t.GetTaskId().GetValue()+"\t"+t.GetName())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
