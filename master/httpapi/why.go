package httpapi

import (
	"cmp"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
)

// Bounds of one answer: frameworks of a role, and agents of each role.
const (
	mostExplained      = 50
	agentsExplained    = 10
	maxAgentsExplained = 1000
)

// why explains to the sender of a request what it may see. See docs/design/why.md.
func (s *Server) why(w http.ResponseWriter, r *http.Request) {
	a := &whyAnswer{viewer: s.viewer(r), snapshot: s.visible(r), Frameworks: []whyFramework{}}
	questions, status, problem := a.questions(r.URL.Query().Get)
	if problem != "" {
		text(w, status, problem)
		return
	}
	var answers []allocator.Explanation
	answered := false
	if s.cfg.Explain != nil {
		answers, answered = s.cfg.Explain(r.Context(), questions)
	}
	if !answered {
		text(w, http.StatusServiceUnavailable, "The allocator did not answer in time; try again")
		return
	}
	for i, answer := range answers {
		a.add(questions[i], answer)
	}
	body, err := json.Marshal(a)
	if err != nil {
		text(w, http.StatusInternalServerError, err.Error())
		return
	}
	view(w, r, func(out *writer) { out.buf = append(out.buf, body...) })
}

// whyAnswer is the body of /api/agora/why.
type whyAnswer struct {
	viewer   *viewer
	snapshot *core.Snapshot

	Need       map[string]float64 `json:"need"`
	Task       *whyTask           `json:"task,omitempty"`
	Frameworks []whyFramework     `json:"frameworks"`

	// More is how many frameworks of the role were left out.
	More int `json:"more,omitempty"`
}

type whyTask struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Agent   string `json:"agent_id"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	Summary string `json:"summary"`
}

type whyFramework struct {
	ID    string    `json:"id"`
	Name  string    `json:"name"`
	Roles []whyRole `json:"roles"`
}

type whyRole struct {
	Role           string         `json:"role"`
	Suppressed     bool           `json:"suppressed"`
	Share          float64        `json:"dominant_share"`
	FrameworkShare float64        `json:"framework_share"`
	Summary        string         `json:"summary"`
	Change         string         `json:"change"`
	Counts         map[string]int `json:"agents_by_verdict"`
	Agents         []whyAgent     `json:"agents"`
}

type whyAgent struct {
	ID       string             `json:"id"`
	Hostname string             `json:"hostname"`
	Verdict  string             `json:"verdict"`
	Reason   string             `json:"reason"`
	Change   string             `json:"change"`
	Lacks    map[string]float64 `json:"lacks,omitempty"`
	Role     string             `json:"role,omitempty"`
	Until    float64            `json:"until,omitempty"`
	Holders  []whyHolder        `json:"holders,omitempty"`
}

type whyHolder struct {
	Framework string             `json:"framework_id,omitempty"`
	Name      string             `json:"framework_name,omitempty"`
	Role      string             `json:"role,omitempty"`
	Has       map[string]float64 `json:"has"`
	Tasks     []string           `json:"tasks,omitempty"`
}

// questions are those that the parameters ask, or what is wrong with them.
func (a *whyAnswer) questions(parameter func(string) string) (questions []allocator.Question, status int, problem string) {
	q := allocator.Question{Role: parameter("role"), Agent: core.AgentID(parameter("agent")), Most: agentsExplained}
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
	if q.Agent != "" && a.agent(q.Agent) == nil {
		return nil, http.StatusNotFound, "No agent '" + string(q.Agent) + "'"
	}
	framework := parameter("framework")
	switch id := parameter("task"); {
	case id != "":
		task, owner := a.findTask(id, framework)
		if task == nil {
			return nil, http.StatusNotFound, "No task '" + id + "'. Of one that was never launched only its framework knows: ask for the framework, with what the task needs"
		}
		a.Task = explainTask(task)
		q.Role = cmp.Or(q.Role, roleOfTask(task))
		framework = string(owner.ID)
		if q.Need == nil {
			q.Need = needOf(task)
		}
	case framework == "" && q.Role == "":
		return nil, http.StatusBadRequest, "Give the parameter framework, role or task"
	case q.Role != "" && !a.viewer.role(q.Role):
		return nil, http.StatusNotFound, "No framework has the role '" + q.Role + "'"
	}
	a.Need = q.Need
	for f := range a.snapshot.Frameworks.All() {
		if framework != "" && string(f.ID) != framework || q.Role != "" && !slices.Contains(rolesOf(f.Info), q.Role) {
			continue
		}
		if len(questions) == mostExplained {
			a.More++
			continue
		}
		one := q
		one.Framework = f.ID
		questions = append(questions, one)
	}
	switch {
	case len(questions) > 0 || a.Task != nil:
		return questions, http.StatusOK, ""
	case framework != "":
		return nil, http.StatusNotFound, "No framework '" + framework + "'" + inRole(q.Role)
	}
	return nil, http.StatusNotFound, "No framework has the role '" + q.Role + "'"
}

func inRole(role string) string {
	if role == "" {
		return ""
	}
	return " in the role '" + role + "'"
}

func rolesOf(info *mesos.FrameworkInfo) []string {
	if len(info.GetRoles()) > 0 {
		return info.GetRoles()
	}
	return []string{info.GetRole()}
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

func (a *whyAnswer) agent(id core.AgentID) *core.Agent {
	for agent := range a.snapshot.Agents.All() {
		if agent.ID == id {
			return agent
		}
	}
	return nil
}

func (a *whyAnswer) framework(id core.FrameworkID) *core.Framework {
	for f := range a.snapshot.Frameworks.All() {
		if f.ID == id {
			return f
		}
	}
	return nil
}

// findTask is a task of a framework, or of any when it is not said.
func (a *whyAnswer) findTask(id, framework string) (*core.Task, *core.Framework) {
	for _, frameworks := range []core.View[core.Framework]{a.snapshot.Frameworks, a.snapshot.CompletedFrameworks} {
		for f := range frameworks.All() {
			if framework != "" && string(f.ID) != framework {
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
