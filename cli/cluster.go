package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"syscall"

	masterpb "agora.dev/agora/api/mesos/v1/master"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/client/operator"
)

// masterAddr is the address of the master: flag, then environment, then default.
func (a *App) masterAddr() string {
	for _, addr := range []string{a.master, a.Env("AGORA_MASTER")} {
		if addr != "" {
			return withPort(addr, "5050")
		}
	}
	return "127.0.0.1:5050"
}

func withPort(addr, port string) string {
	addr = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(addr, "https://"), "http://"), "/")
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return net.JoinHostPort(strings.Trim(addr, "[]"), port)
	}
	return addr
}

// isUnreachable reports that nobody listens at the address.
func isUnreachable(err error) bool {
	var op *net.OpError
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.As(err, &op) && op.Op == "dial"
}

// task is a task with all that the commands show of it.
type task struct {
	*mesos.Task
	Framework *mesos.FrameworkInfo
	Agent     *masterpb.Response_GetAgents_Agent
	// Completed is set when the task has ended or its framework is gone.
	Completed bool
}

// view is one look at the cluster.
type view struct {
	Tasks  []task
	Agents []*masterpb.Response_GetAgents_Agent
}

// look asks the master for tasks, agents and frameworks.
func (a *App) look(ctx context.Context) (*view, error) {
	response, err := a.callMaster(ctx, masterpb.Call_GET_STATE)
	if err != nil {
		return nil, err
	}
	state := response.GetGetState()
	v := &view{Agents: state.GetGetAgents().GetAgents()}
	agents := map[string]*masterpb.Response_GetAgents_Agent{}
	for _, agent := range v.Agents {
		agents[agent.GetAgentInfo().GetId().GetValue()] = agent
	}
	frameworks := map[string]*mesos.FrameworkInfo{}
	for _, list := range [][]*masterpb.Response_GetFrameworks_Framework{
		state.GetGetFrameworks().GetFrameworks(), state.GetGetFrameworks().GetCompletedFrameworks()} {
		for _, framework := range list {
			frameworks[framework.GetFrameworkInfo().GetId().GetValue()] = framework.GetFrameworkInfo()
		}
	}
	add := func(tasks []*mesos.Task, completed bool) {
		for _, t := range tasks {
			v.Tasks = append(v.Tasks, task{Task: t, Completed: completed,
				Framework: frameworks[t.GetFrameworkId().GetValue()], Agent: agents[t.GetAgentId().GetValue()]})
		}
	}
	all := state.GetGetTasks()
	add(all.GetPendingTasks(), false)
	add(all.GetTasks(), false)
	add(all.GetUnreachableTasks(), false)
	add(all.GetCompletedTasks(), true)
	sort.SliceStable(v.Tasks, func(i, j int) bool {
		if v.Tasks[i].Completed != v.Tasks[j].Completed {
			return !v.Tasks[i].Completed
		}
		return v.Tasks[i].GetTaskId().GetValue() < v.Tasks[j].GetTaskId().GetValue()
	})
	return v, nil
}

// task finds the one task that name means: its ID, a unique prefix of it, or a name
// that one running task has.
func (v *view) task(name string) (task, error) {
	found, err := v.find(name)
	if err != nil {
		return task{}, err
	}
	if len(found) > 1 {
		return task{}, notFoundf("%q means %d tasks: %s; name one of them", name, len(found), taskList(found))
	}
	return found[0], nil
}

// find finds the tasks that name means: all that run, or else the newest that has ended.
func (v *view) find(name string) ([]task, error) {
	var running, completed []task
	for _, t := range v.Tasks {
		id := t.GetTaskId().GetValue()
		if id == name {
			return []task{t}, nil
		}
		if !strings.HasPrefix(id, name) && t.GetName() != name && !strings.HasPrefix(shortID(id), name) {
			continue
		}
		if t.Completed {
			completed = append(completed, t)
		} else {
			running = append(running, t)
		}
	}
	switch {
	case len(running) > 0:
		return running, nil
	case len(completed) > 0:
		return []task{newest(completed)}, nil
	}
	return nil, notFoundf("no task %q; agora ps -a lists them", name)
}

// shortID drops what the orchestrator puts before an instance's own identifier.
func shortID(id string) string {
	if at := strings.LastIndex(id, "instance-"); at >= 0 {
		return id[at+len("instance-"):]
	}
	return id
}

func newest(tasks []task) task {
	best := tasks[0]
	for _, t := range tasks[1:] {
		if lastChange(t) > lastChange(best) {
			best = t
		}
	}
	return best
}

func lastChange(t task) float64 {
	statuses := t.GetStatuses()
	if len(statuses) == 0 {
		return 0
	}
	return statuses[len(statuses)-1].GetTimestamp()
}

func taskList(tasks []task) string {
	var ids []string
	for _, t := range tasks {
		ids = append(ids, t.GetTaskId().GetValue())
	}
	if len(ids) > 4 {
		ids = append(ids[:4], "...")
	}
	return strings.Join(ids, ", ")
}

// agentAddr is where an agent's API listens: the address in its pid, since its hostname
// need not be one that this machine resolves.
func agentAddr(agent *masterpb.Response_GetAgents_Agent) (string, error) {
	if agent == nil {
		return "", notFoundf("the task's agent is not registered with the master; agora node ls shows those that are")
	}
	if _, addr, found := strings.Cut(agent.GetPid(), "@"); found {
		return addr, nil
	}
	info := agent.GetAgentInfo()
	return net.JoinHostPort(info.GetHostname(), strconv.Itoa(int(info.GetPort()))), nil
}

// callMaster sends a call that has no body but its type.
func (a *App) callMaster(ctx context.Context, call masterpb.Call_Type) (*masterpb.Response, error) {
	response, err := a.operator(a.masterAddr()).Master(ctx, &masterpb.Call{Type: &call})
	if err != nil {
		return nil, fmt.Errorf("master %s: %w", a.masterAddr(), err)
	}
	return response, nil
}

// operator returns a client of the operator API at addr.
func (a *App) operator(addr string) *operator.Client {
	if !strings.Contains(addr, "://") {
		addr = a.url(addr)
	}
	noRedirect := *a.http()
	noRedirect.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return operator.New(addr, operator.WithHTTPClient(&noRedirect))
}
