package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	mesos "agora.dev/agora/api/mesos/v1"
	agentpb "agora.dev/agora/api/mesos/v1/agent"
	masterpb "agora.dev/agora/api/mesos/v1/master"
)

func (a *App) execCommand() *cobra.Command {
	var (
		stdin, tty bool
		env        []string
		user       string
	)
	cmd := &cobra.Command{
		Use:               "exec [-it] TASK -- COMMAND [ARG...]",
		Short:             "Run a command inside a running task's container",
		Example:           "  agora exec -it web -- sh\n  agora exec web -- cat /etc/hosts",
		ValidArgsFunction: a.completeTasks,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("exec needs a task and a command: agora exec web -- ls /")
			}
			v, err := a.look(cmd.Context())
			if err != nil {
				return err
			}
			t, err := v.task(args[0])
			if err != nil {
				return err
			}
			if tty && !isTerminal(a.In) {
				return usagef("-t needs a terminal as standard input; leave it out in scripts")
			}
			session, err := a.newSession(cmd.Context(), t, args[1:], env, user)
			if err != nil {
				return err
			}
			session.tty = tty
			return session.run(cmd.Context(), stdin)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&stdin, "interactive", "i", false, "pass standard input on")
	flags.BoolVarP(&tty, "tty", "t", false, "give the command a terminal")
	flags.StringArrayVarP(&env, "env", "e", nil, "NAME=VALUE; may be repeated")
	flags.StringVarP(&user, "user", "u", "", "user of the command")
	return cmd
}

// session is one command inside a container: a debug container below the task's own,
// which lives as long as the connection that carries its output.
type session struct {
	app   *App
	url   string // of the agent's API
	id    *mesos.ContainerID
	args  []string
	env   []string
	user  string
	tty   bool
	input io.Reader // nil: the user's
	agent *masterpb.Response_GetAgents_Agent
}

func (a *App) newSession(ctx context.Context, t task, args, env []string, user string) (*session, error) {
	url, err := a.agentURL(ctx, t.Agent)
	if err != nil {
		return nil, err
	}
	parent, err := t.container()
	if err != nil {
		return nil, err
	}
	return &session{app: a, url: url, agent: t.Agent, args: args, env: env, user: user,
		id: &mesos.ContainerID{Value: ptr(uuid.NewString()), Parent: parent}}, nil
}

// container is where a live task runs.
func (t task) container() (*mesos.ContainerID, error) {
	if t.Completed {
		return nil, exitf(ExitFailure, "task %s has ended: %s", t.GetTaskId().GetValue(), t.GetState())
	}
	var id *mesos.ContainerID
	for _, status := range t.GetStatuses() {
		if have := status.GetContainerStatus().GetContainerId(); have != nil {
			id = have
		}
	}
	if id == nil {
		return nil, exitf(ExitFailure, "task %s has no container yet: %s; wait until it is RUNNING", t.GetTaskId().GetValue(), t.GetState())
	}
	return id, nil
}

// call is what starts the command.
func (s *session) call() (*agentpb.Call, error) {
	command := &mesos.CommandInfo{Shell: ptr(false), Value: &s.args[0], Arguments: s.args, Environment: &mesos.Environment{}}
	if s.user != "" {
		command.User = &s.user
	}
	options := runOptions{}
	if err := options.parse("64m", "0", s.env, nil, nil, s.app.Env); err != nil && len(s.env) > 0 {
		return nil, err
	}
	for _, name := range sortedKeys(options.Env) {
		command.Environment.Variables = append(command.Environment.Variables,
			&mesos.Environment_Variable{Name: ptr(name), Value: ptr(options.Env[name])})
	}
	launch := &agentpb.Call_LaunchNestedContainerSession{ContainerId: s.id, Command: command}
	if s.tty {
		info := &mesos.TTYInfo{}
		if rows, cols, ok := s.size(); ok {
			info.WindowSize = &mesos.TTYInfo_WindowSize{Rows: &rows, Columns: &cols}
			if name := s.app.Env("TERM"); name != "" {
				command.Environment.Variables = append(command.Environment.Variables,
					&mesos.Environment_Variable{Name: ptr("TERM"), Value: &name})
			}
		}
		launch.Container = &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), TtyInfo: info}
	}
	return &agentpb.Call{Type: agentpb.Call_LAUNCH_NESTED_CONTAINER_SESSION.Enum(), LaunchNestedContainerSession: launch}, nil
}

// size is the size of the user's terminal.
func (s *session) size() (rows, cols uint32, ok bool) {
	file, isFile := s.app.In.(*os.File)
	if !isFile {
		return 0, 0, false
	}
	width, height, err := term.GetSize(int(file.Fd()))
	return uint32(height), uint32(width), err == nil
}

// run carries input and output until the command ends, and ends with its status.
func (s *session) run(ctx context.Context, stdin bool) error {
	call, err := s.call()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.tty {
		if file, ok := s.app.In.(*os.File); ok {
			state, err := term.MakeRaw(int(file.Fd()))
			if err != nil {
				return fmt.Errorf("set the terminal to raw mode: %w", err)
			}
			defer func() { _ = term.Restore(int(file.Fd()), state) }()
		}
	}
	output, err := s.open(ctx, call)
	if err != nil {
		return err
	}
	defer output.Close()
	// Asked before the end: the container is forgotten with its connection.
	status := make(chan error, 1)
	go func() { status <- s.status(ctx) }()
	if stdin || s.tty {
		go s.feed(ctx, stdin)
	}
	if err := s.drain(output); err != nil && ctx.Err() == nil {
		return err
	}
	return <-status
}

// status asks how the command ended.
func (s *session) status(ctx context.Context) error {
	response, err := s.app.callAgent(ctx, s.agent, &agentpb.Call{Type: agentpb.Call_WAIT_CONTAINER.Enum(),
		WaitContainer: &agentpb.Call_WaitContainer{ContainerId: s.id}})
	if err != nil {
		return err
	}
	wait := response.GetWaitContainer()
	if wait.ExitStatus == nil {
		return exitf(ExitNotRun, "%s: %s", s.args[0], wait.GetMessage())
	}
	if code := exitCode(wait.GetExitStatus()); code != 0 {
		return quietExit(code)
	}
	return nil
}

// exitCode turns a raw wait status into the code that a shell would show.
func exitCode(status int32) int {
	if signal := status & 0x7f; signal != 0 {
		return ExitSignal + int(signal)
	}
	return int(status>>8) & 0xff
}
