package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	agentpb "agora.dev/agora/api/mesos/v1/agent"
)

// detachKeys leave a terminal and let its task run on: Ctrl-P, Ctrl-Q, as with docker.
var detachKeys = []byte{0x10, 0x11}

func (a *App) attachCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "attach TASK",
		Short: "Follow a running task's output, and its terminal if it has one",
		Long: `Show what a running task writes from now on, and end with it and its exit status. A task that was started with
a terminal gets what is typed; Ctrl-P Ctrl-Q leaves it running.`,
		Example:           "  agora attach web",
		ValidArgsFunction: a.completeTasks,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("attach needs one task: agora attach web")
			}
			v, err := a.look(cmd.Context())
			if err != nil {
				return err
			}
			t, err := v.task(args[0])
			if err != nil {
				return err
			}
			return a.attach(cmd.Context(), t)
		},
	}
}

func (a *App) attach(ctx context.Context, t task) error {
	id, err := t.container()
	if err != nil {
		return err
	}
	url, err := a.agentURL(ctx, t.Agent)
	if err != nil {
		return err
	}
	ctx, detach := context.WithCancel(ctx)
	defer detach()
	in := &detachable{in: a.In, detach: detach}
	s := &session{app: a, url: url, agent: t.Agent, id: id, args: []string{t.GetTaskId().GetValue()}, input: in,
		tty: t.GetContainer().GetTtyInfo() != nil && isTerminal(a.In)}
	if file, ok := a.In.(*os.File); ok && s.tty {
		state, err := term.MakeRaw(int(file.Fd()))
		if err != nil {
			return fmt.Errorf("set the terminal to raw mode: %w", err)
		}
		defer func() { _ = term.Restore(int(file.Fd()), state) }()
	}
	output, err := s.open(ctx, &agentpb.Call{Type: agentpb.Call_ATTACH_CONTAINER_OUTPUT.Enum(),
		AttachContainerOutput: &agentpb.Call_AttachContainerOutput{ContainerId: id}})
	if err != nil {
		return err
	}
	defer output.Close()
	status := make(chan error, 1)
	go func() { status <- s.status(ctx) }()
	if s.tty {
		go s.feed(ctx, true)
	}
	if err := s.drain(output); err != nil && ctx.Err() == nil {
		return err
	}
	if in.gone.Load() {
		return nil
	}
	return <-status
}

// detachable is the user's input up to the keys that leave.
type detachable struct {
	in     io.Reader
	detach func()
	held   bool        // the first key was typed
	gone   atomic.Bool // both were
}

// Read implements io.Reader.
func (d *detachable) Read(p []byte) (int, error) {
	n, err := d.in.Read(p)
	typed := p[:n]
	if at := bytes.Index(typed, detachKeys); at >= 0 || d.held && n > 0 && typed[0] == detachKeys[1] {
		d.gone.Store(true)
		d.detach()
		return max(at, 0), io.EOF
	}
	d.held = n > 0 && typed[n-1] == detachKeys[0]
	return n, err
}
