package httpapi

import (
	"cmp"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"agora.dev/agora/api/agora/why"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
	"agora.dev/agora/master/validation"
)

// Bounds of one answer: frameworks of a role, agents of each role when it is not said and at most, and tasks of a holder.
const (
	mostExplained      = 50
	agentsExplained    = 10
	maxAgentsExplained = 1000
	tasksExplained     = 10
)

// why explains to the sender of a request what it may see. See docs/design/why.md.
func (s *Server) why(w http.ResponseWriter, r *http.Request) {
	e := newExplainer(s.viewer(r), s.visible(r))
	questions, status, problem := e.questions(r.URL.Query().Get)
	if problem != "" {
		text(w, status, problem)
		return
	}
	answers, answered := s.cfg.Explain(r.Context(), questions)
	if !answered {
		text(w, http.StatusServiceUnavailable, "The allocator did not answer in time; try again")
		return
	}
	for i, answer := range answers {
		e.add(questions[i], answer)
	}
	document(w, r, e.answer)
}

// document answers with a value as JSON.
func document(w http.ResponseWriter, r *http.Request, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		text(w, http.StatusInternalServerError, err.Error())
		return
	}
	view(w, r, func(out *writer) { out.buf = append(out.buf, body...) })
}

// explainer puts explanations into words, for one viewer and one state.
type explainer struct {
	viewer     *viewer
	snapshot   *core.Snapshot
	agents     map[core.AgentID]*core.Agent
	frameworks map[core.FrameworkID]*core.Framework
	// tasks are those that are not at an end, of frameworks that were asked for.
	tasks  map[core.FrameworkID]map[core.AgentID][]string
	answer why.Answer
}

func newExplainer(viewer *viewer, snapshot *core.Snapshot) *explainer {
	e := &explainer{viewer: viewer, snapshot: snapshot, agents: map[core.AgentID]*core.Agent{}, frameworks: map[core.FrameworkID]*core.Framework{},
		tasks: map[core.FrameworkID]map[core.AgentID][]string{}, answer: why.Answer{Frameworks: []why.Framework{}}}
	for agent := range snapshot.Agents.All() {
		e.agents[agent.ID] = agent
	}
	for f := range snapshot.Frameworks.All() {
		e.frameworks[f.ID] = f
	}
	return e
}

// questions are those that the parameters ask, or what is wrong with them.
func (e *explainer) questions(parameter func(string) string) (questions []allocator.Question, status int, problem string) {
	q := allocator.Question{Framework: core.FrameworkID(parameter("framework")), Role: parameter("role"), Agent: core.AgentID(parameter("agent")), Most: agentsExplained}
	if given := parameter("agents"); given != "" {
		n, err := strconv.Atoi(given)
		if err != nil || n < 0 || n > maxAgentsExplained {
			return nil, http.StatusBadRequest, "Invalid agents '" + given + "': give a number from 0 to " + strconv.Itoa(maxAgentsExplained)
		}
		q.Most = n
	}
	if q.Need, problem = parseNeed(parameter("need")); problem != "" {
		return nil, http.StatusBadRequest, problem
	}
	id := parameter("task")
	switch {
	case q.Agent != "" && e.agents[q.Agent] == nil:
		return nil, http.StatusNotFound, "No agent '" + string(q.Agent) + "'"
	case id != "":
		if !e.aboutTask(id, &q) {
			return nil, http.StatusNotFound, "No task '" + id + "'. Of one that was never launched only its framework knows: ask for the framework, with what the task needs"
		}
	case q.Framework == "" && q.Role == "":
		return nil, http.StatusBadRequest, "Give the parameter framework, role or task"
	}
	e.answer.Need = q.Need
	if questions = e.each(q); len(questions) > 0 || e.answer.Task != nil {
		return questions, http.StatusOK, ""
	}
	if q.Framework != "" {
		return nil, http.StatusNotFound, "No framework '" + string(q.Framework) + "'" + inRole(q.Role)
	}
	return nil, http.StatusNotFound, "No framework has the role '" + q.Role + "'"
}

// each is a question for every framework that is meant.
func (e *explainer) each(q allocator.Question) (questions []allocator.Question) {
	if q.Role != "" && !e.viewer.Role(q.Role) {
		return nil
	}
	for f := range e.snapshot.Frameworks.All() {
		if q.Framework != "" && f.ID != q.Framework || q.Role != "" && !slices.Contains(validation.Roles(f.Info), q.Role) {
			continue
		}
		if len(questions) == mostExplained {
			e.answer.More++
			continue
		}
		one := q
		one.Framework = f.ID
		questions = append(questions, one)
	}
	return questions
}

// aboutTask completes a question about a task: its framework, in its role, for as much as it has. It is false for none that is known.
func (e *explainer) aboutTask(id string, q *allocator.Question) bool {
	task, owner := e.findTask(id, q.Framework)
	if task == nil {
		return false
	}
	e.answer.Task = explainTask(task)
	q.Framework, q.Role = owner.ID, cmp.Or(q.Role, roleOfTask(task))
	if q.Need == nil {
		q.Need = needOf(task)
	}
	return true
}

func inRole(role string) string {
	if role == "" {
		return ""
	}
	return " in the role '" + role + "'"
}

// parseNeed reads NAME:AMOUNT pairs, separated by semicolons.
func parseNeed(given string) (need map[string]float64, problem string) {
	for pair := range strings.SplitSeq(given, ";") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		name, amount, _ := strings.Cut(pair, ":")
		n, err := strconv.ParseFloat(amount, 64)
		if err != nil || name == "" || math.IsNaN(n) || n <= 0 || n > 1e12 {
			return nil, "Invalid need '" + pair + "': give amounts as cpus:2;mem:512, ports:2 for how many ports"
		}
		if need == nil {
			need = map[string]float64{}
		}
		need[name] = n
	}
	return need, ""
}

// findTask is a task of a framework, or of any when it is not said.
func (e *explainer) findTask(id string, framework core.FrameworkID) (*core.Task, *core.Framework) {
	for _, frameworks := range []core.View[core.Framework]{e.snapshot.Frameworks, e.snapshot.CompletedFrameworks} {
		for f := range frameworks.All() {
			if framework != "" && f.ID != framework {
				continue
			}
			for _, tasks := range []core.View[core.Task]{f.Tasks, f.UnreachableTasks, f.CompletedTasks} {
				for task := range tasks.All() {
					if task.Base.GetTaskId().GetValue() == id {
						return task, f
					}
				}
			}
		}
	}
	return nil, nil
}

func roleOfTask(task *core.Task) string {
	for _, r := range task.Base.GetResources() {
		if role := r.GetAllocationInfo().GetRole(); role != "" {
			return role
		}
	}
	return ""
}

func needOf(task *core.Task) map[string]float64 {
	need, sum := map[string]float64{}, quantities{}
	sum.add(task.Base.GetResources())
	for _, name := range sum.names() {
		if amount := sum.value(name); amount > 0 {
			need[name] = amount
		}
	}
	for _, r := range task.Base.GetResources() {
		for _, span := range r.GetRanges().GetRange() {
			need[r.GetName()] += float64(span.GetEnd() - span.GetBegin() + 1)
		}
	}
	return need
}
