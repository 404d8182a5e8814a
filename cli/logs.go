package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	agentpb "agora.dev/agora/api/mesos/v1/agent"
	masterpb "agora.dev/agora/api/mesos/v1/master"
)

const (
	logChunk    = 256 << 10              // bytes of one read
	logInterval = 200 * time.Millisecond // between reads at the end of a followed file
)

func (a *App) logsCommand() *cobra.Command {
	var (
		follow, stderr bool
		tail           int64
	)
	cmd := &cobra.Command{
		Use:               "logs NAME",
		Short:             "Print what a task has written, or all tasks of that name",
		Example:           "  agora logs -f web\n  agora logs --stderr --tail 4096 web",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTasks,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			v, err := a.look(ctx)
			if err != nil {
				return err
			}
			tasks, err := v.find(args[0])
			if err != nil {
				return err
			}
			name := "stdout"
			if stderr {
				name = "stderr"
			}
			if len(tasks) == 1 {
				return a.log(ctx, tasks[0], a.Out, logOptions{name, tail, follow})
			}
			return a.mergedLogs(ctx, tasks, logOptions{name, tail, follow})
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "go on until the task ends")
	flags.BoolVar(&stderr, "stderr", false, "the standard error instead of the standard output")
	flags.Int64Var(&tail, "tail", -1, "only the last so many bytes")
	return cmd
}

// logOptions say which file of a sandbox is shown, from where and for how long.
type logOptions struct {
	name   string
	tail   int64
	follow bool
}

// log copies one task's output.
func (a *App) log(ctx context.Context, t task, out io.Writer, o logOptions) error {
	file := a.sandboxFile(t, o.name)
	if err := file.find(ctx, o.tail); err != nil {
		return err
	}
	ended := func(ctx context.Context) bool { return !o.follow || a.ended(ctx, t.GetTaskId().GetValue()) }
	return file.stream(ctx, out, ended)
}

// mergedLogs copies the output of several tasks, each line behind the start of its task's
// own identifier.
func (a *App) mergedLogs(ctx context.Context, tasks []task, o logOptions) error {
	var lock sync.Mutex
	var group sync.WaitGroup
	errs := make([]error, len(tasks))
	for i, t := range tasks {
		id := shortID(t.GetTaskId().GetValue())
		out := &prefixed{lock: &lock, out: a.Out, prefix: id[:min(8, len(id))] + " | "}
		group.Go(func() {
			errs[i] = a.log(ctx, t, out, o)
			out.flush()
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// prefixed writes whole lines, each behind the prefix.
type prefixed struct {
	lock   *sync.Mutex
	out    io.Writer
	prefix string
	line   []byte
}

func (p *prefixed) Write(data []byte) (int, error) {
	p.line = append(p.line, data...)
	for {
		end := bytes.IndexByte(p.line, '\n')
		if end < 0 {
			return len(data), nil
		}
		if err := p.print(p.line[:end+1]); err != nil {
			return 0, err
		}
		p.line = p.line[end+1:]
	}
}

// flush ends a last line that has no end.
func (p *prefixed) flush() {
	if len(p.line) > 0 {
		_ = p.print(append(p.line, '\n')) // nobody is left to tell
	}
}

func (p *prefixed) print(line []byte) error {
	p.lock.Lock()
	defer p.lock.Unlock()
	_, err := p.out.Write(append([]byte(p.prefix), line...))
	return err
}

// ended reports whether the task is over, or the master no longer knows it.
func (a *App) ended(ctx context.Context, id string) bool {
	v, err := a.look(ctx)
	if err != nil {
		return false
	}
	for _, t := range v.Tasks {
		if t.GetTaskId().GetValue() == id {
			return t.Completed
		}
	}
	return true
}

// sandboxFile is a file of a task's sandbox, read through its agent.
type sandboxFile struct {
	app    *App
	agent  *masterpb.Response_GetAgents_Agent
	paths  []string // candidates; find keeps the one that exists
	offset uint64
	task   string
	// behindHole says that zeros at the offset are the end of a hole.
	behindHole bool
}

func (a *App) sandboxFile(t task, name string) *sandboxFile {
	id, executor := t.GetTaskId().GetValue(), t.GetExecutorId().GetValue()
	if executor == "" {
		executor = id
	}
	run := "/frameworks/" + t.GetFrameworkId().GetValue() + "/executors/" + executor + "/runs/latest/"
	return &sandboxFile{app: a, agent: t.Agent, task: id, paths: []string{run + "tasks/" + id + "/" + name, run + name}}
}

// find settles the path, and moves to the last tail bytes when tail is not negative.
func (f *sandboxFile) find(ctx context.Context, tail int64) error {
	var last error
	for _, path := range f.paths {
		size, _, err := f.read(ctx, path, 0, 0)
		if err != nil {
			last = err
			continue
		}
		f.paths = []string{path}
		if tail >= 0 && size > uint64(tail) {
			f.offset = size - uint64(tail)
		}
		return nil
	}
	if isUnreachable(last) {
		return last
	}
	return notFoundf("no output of task %s: its sandbox is gone, or it never started (%v)", f.task, last)
}

// stream copies to out until ended says so and the end of the file is reached.
func (f *sandboxFile) stream(ctx context.Context, out io.Writer, ended func(context.Context) bool) error {
	over := false
	for {
		size, data, err := f.read(ctx, f.paths[0], f.offset, logChunk)
		if err != nil {
			return err
		}
		f.offset += uint64(len(data))
		if data = f.unhole(data); data == nil {
			if err := f.skipHole(ctx, size); err != nil {
				return err
			}
			continue
		}
		if _, err := out.Write(data); err != nil {
			return err
		}
		if len(data) > 0 {
			continue
		}
		if over {
			return nil
		}
		// One more read after the end was seen: the last bytes may have come between.
		if over = ended(ctx); over {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(logInterval):
		}
	}
}

func (f *sandboxFile) read(ctx context.Context, path string, offset, length uint64) (uint64, []byte, error) {
	call := &agentpb.Call{Type: agentpb.Call_READ_FILE.Enum(),
		ReadFile: &agentpb.Call_ReadFile{Path: &path, Offset: &offset, Length: &length}}
	response, err := f.app.callAgent(ctx, f.agent, call)
	if err != nil {
		return 0, nil, err
	}
	return response.GetReadFile().GetSize(), response.GetReadFile().GetData(), nil
}

// completeTasks offers the names of running tasks to the shell.
func (a *App) completeTasks(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	v, err := a.look(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, t := range v.Tasks {
		if !t.Completed {
			names = append(names, t.GetTaskId().GetValue()+"\t"+t.GetName())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
