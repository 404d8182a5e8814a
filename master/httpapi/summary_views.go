package httpapi

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/core"
)

// summary counts one framework's or agent's tasks, and names its counterparts.
type summary struct {
	states map[mesos.TaskState]int
	peers  map[string]bool
}

func (m *summary) count(state mesos.TaskState) { m.states[state]++ }

// summaryStates are listed in this order.
var summaryStates = []mesos.TaskState{
	mesos.TaskState_TASK_STAGING, mesos.TaskState_TASK_STARTING, mesos.TaskState_TASK_RUNNING, mesos.TaskState_TASK_KILLING,
	mesos.TaskState_TASK_FINISHED, mesos.TaskState_TASK_KILLED, mesos.TaskState_TASK_FAILED, mesos.TaskState_TASK_LOST,
	mesos.TaskState_TASK_ERROR, mesos.TaskState_TASK_UNREACHABLE,
}

func (m *summary) write(w *writer, peers string) {
	for _, state := range summaryStates {
		w.int(state.String(), int64(m.states[state]))
	}
	w.strings(peers, slices.Sorted(maps.Keys(m.peers)))
}

type summaries map[string]*summary

func (m summaries) of(id string) *summary {
	if m[id] == nil {
		m[id] = &summary{states: map[mesos.TaskState]int{}, peers: map[string]bool{}}
	}
	return m[id]
}

func summarize(snapshot *core.Snapshot) (agents, frameworks summaries) {
	agents, frameworks = summaries{}, summaries{}
	for f := range snapshot.Frameworks.All() {
		for _, tasks := range []core.View[core.Task]{f.Tasks, f.UnreachableTasks, f.CompletedTasks} {
			for task := range tasks.All() {
				agent := task.Base.GetAgentId().GetValue()
				agents.of(agent).count(task.State)
				agents.of(agent).peers[string(f.ID)] = true
				frameworks.of(string(f.ID)).count(task.State)
				frameworks.of(string(f.ID)).peers[agent] = true
			}
		}
	}
	return agents, frameworks
}

func (s *Server) stateSummary(w http.ResponseWriter, r *http.Request) {
	snapshot := s.visible(r)
	agents, frameworks := summarize(snapshot)
	offered := map[string][]*mesos.Resource{}
	for offer := range snapshot.Offers.All() {
		id := offer.Info.GetFrameworkId().GetValue()
		offered[id] = append(offered[id], offer.Info.Resources...)
	}
	view(w, r, func(out *writer) {
		out.element(func() {
			out.text("hostname", snapshot.Master.GetHostname())
			out.optional("cluster", s.cfg.Cluster)
			out.array("slaves", func() {
				for agent := range snapshot.Agents.All() {
					out.element(func() {
						out.agent(agent)
						agents.of(string(agent.ID)).write(out, "framework_ids")
					})
				}
			})
			out.array("frameworks", func() {
				for f := range snapshot.Frameworks.All() {
					var used []*mesos.Resource
					for _, h := range holdings(f) {
						used = append(used, h.resources...)
					}
					out.element(func() {
						out.frameworkHead(f, used, offered[string(f.ID)])
						frameworks.of(string(f.ID)).write(out, "slave_ids")
					})
				}
			})
		})
	})
}

// Paging of /tasks.
const defaultTasks = 100

func (s *Server) tasks(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, offset := number(q, "limit", defaultTasks), number(q, "offset", 0)
	var all []*core.Task
	snapshot := s.visible(r)
	for _, frameworks := range []core.View[core.Framework]{snapshot.Frameworks, snapshot.CompletedFrameworks} {
		for f := range frameworks.All() {
			if id := q.Get("framework_id"); id != "" && id != string(f.ID) {
				continue
			}
			for _, tasks := range []core.View[core.Task]{f.Tasks, f.UnreachableTasks, f.CompletedTasks} {
				for task := range tasks.All() {
					if id := q.Get("task_id"); id == "" || id == task.Base.GetTaskId().GetValue() {
						all = append(all, task)
					}
				}
			}
		}
	}
	direction := 1
	if q.Get("order") != "asc" {
		direction = -1
	}
	slices.SortStableFunc(all, func(a, b *core.Task) int { return direction * cmp.Compare(firstSeen(a), firstSeen(b)) })
	all = all[min(offset, len(all)):]
	all = all[:min(limit, len(all))]
	view(w, r, func(out *writer) {
		out.element(func() {
			out.array("tasks", func() {
				for _, task := range all {
					out.element(func() { out.task(task) })
				}
			})
		})
	})
}

// firstSeen is the time of a task's first status.
func firstSeen(task *core.Task) float64 {
	if len(task.Statuses) == 0 {
		return 0
	}
	return task.Statuses[0].GetTimestamp()
}

// number reads a parameter; what is not a number counts as absent.
func number(q url.Values, name string, otherwise int) int {
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < 0 {
		return otherwise
	}
	return n
}

// teardown is POST /teardown with frameworkId in the form.
func (s *Server) teardown(w http.ResponseWriter, r *http.Request) {
	form, ok := s.form(w, r)
	if !ok {
		return
	}
	id := form.Get("frameworkId")
	if id == "" {
		text(w, http.StatusBadRequest, "Missing 'frameworkId' query parameter in the request body")
		return
	}
	s.askOperator(w, r, core.Teardown{Framework: core.FrameworkID(id)})
}
