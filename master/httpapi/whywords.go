package httpapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"agora.dev/agora/api/agora/why"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
)

// add puts one explanation into words, without what the viewer may not see.
func (e *explainer) add(q allocator.Question, answer allocator.Explanation) {
	f := e.frameworks[q.Framework]
	if f == nil || !answer.Known {
		return
	}
	out := why.Framework{ID: string(f.ID), Name: f.Info.GetName(), Roles: []why.Role{}}
	for _, r := range answer.Roles {
		if !e.viewer.Role(r.Role) {
			continue
		}
		role := why.Role{Role: r.Role, Suppressed: r.Suppressed, Share: r.Share, FrameworkShare: r.FrameworkShare, Counts: map[string]int{}, Agents: []why.Agent{}}
		for verdict, n := range r.Counts {
			role.Counts[string(verdict)] = n
		}
		for _, v := range r.Agents {
			role.Agents = append(role.Agents, e.agentVerdict(v))
		}
		role.Summary, role.Change = roleSummary(f, answer, r, role.Agents)
		out.Roles = append(out.Roles, role)
	}
	e.answer.Frameworks = append(e.answer.Frameworks, out)
}

// roleSummary says in one sentence what is in the way in a role, and the smallest change.
func roleSummary(f *core.Framework, answer allocator.Explanation, r allocator.RoleExplanation, agents []why.Agent) (summary, change string) {
	total := 0
	for _, n := range r.Counts {
		total += n
	}
	offered := r.Counts[allocator.OfferedNext] + r.Counts[allocator.JustOffered]
	switch {
	case !f.Connected:
		return "The framework is not connected: nobody is there to be offered anything.", "Start its scheduler, which subscribes with its ID."
	case !r.Active:
		return "The framework is not active.", "Its scheduler has to subscribe again."
	case r.Suppressed:
		return "The framework suppressed offers for this role.", "Its scheduler sends REVIVE."
	case answer.Waiting:
		return fmt.Sprintf("After the master's election nothing is offered before most of %d agents are back.", answer.Expected), "Wait, or start the agents that are missing."
	case total == 0:
		return "The cluster has no agents.", "Start an agent: agora agent --master=ADDRESS."
	case offered > 0:
		return fmt.Sprintf("Nothing is in the way: %d of %d agents are offered next, to who has the smallest share first.", offered, total), ""
	case len(agents) == 0:
		return fmt.Sprintf("None of %d agents can be offered.", total), "Ask for more agents to see why."
	}
	return fmt.Sprintf("None of %d agents can be offered. The nearest is %s: %s", total, agents[0].Hostname, agents[0].Reason), agents[0].Change
}

func (e *explainer) agentVerdict(v allocator.AgentVerdict) why.Agent {
	out := why.Agent{ID: string(v.Agent), Hostname: v.Hostname, Verdict: string(v.Verdict), Lacks: v.Lacks}
	if v.Role != "" && e.viewer.Role(v.Role) {
		out.Role = v.Role
	}
	if !v.Until.IsZero() {
		out.Until = float64(v.Until.UnixMilli()) / 1000
	}
	for _, h := range v.Holders {
		out.Holders = append(out.Holders, e.holder(v.Agent, h))
	}
	for _, owed := range v.Owed {
		if e.viewer.Role(owed.Role) {
			out.Guarantees = append(out.Guarantees, why.Guarantee{Role: owed.Role, Lacks: owed.Amounts})
		}
	}
	for _, unmet := range v.Unmet {
		out.Unmet = append(out.Unmet, constraintWords(unmet))
	}
	out.Reason, out.Change = e.words(v, out)
	return out
}

// holder names who has what is missing, and with which tasks; who may not be seen has no name.
func (e *explainer) holder(agent core.AgentID, h allocator.Holder) why.Holder {
	f := e.frameworks[h.Framework]
	if f == nil || !e.viewer.Role(h.Role) {
		return why.Holder{Has: h.Has}
	}
	tasks := e.tasksOf(f)[agent]
	return why.Holder{Framework: string(f.ID), Name: f.Info.GetName(), Role: h.Role, Has: h.Has, Tasks: tasks[:min(len(tasks), tasksExplained)]}
}

// tasksOf are the tasks of a framework that are not at an end, by agent.
func (e *explainer) tasksOf(f *core.Framework) map[core.AgentID][]string {
	if e.tasks[f.ID] == nil {
		by := map[core.AgentID][]string{}
		for task := range f.Tasks.All() {
			if !core.Terminal(task.State) {
				agent := core.AgentID(task.Base.GetAgentId().GetValue())
				by[agent] = append(by[agent], task.Base.GetTaskId().GetValue())
			}
		}
		e.tasks[f.ID] = by
	}
	return e.tasks[f.ID]
}

// words are the reason and the smallest change of a verdict.
func (e *explainer) words(v allocator.AgentVerdict, shown why.Agent) (reason, change string) {
	lacks, role := amountsText(v.Lacks), "another role"
	if shown.Role != "" {
		role = "the role '" + shown.Role + "'"
	}
	switch v.Verdict {
	case allocator.OfferedNext:
		return "it is offered next.", ""
	case allocator.JustOffered:
		return "it was offered a moment ago, and is again in 50 ms.", ""
	case allocator.Declined:
		left := time.Until(v.Until).Round(time.Second)
		return fmt.Sprintf("the framework declined as much; its filter lasts %s more.", max(left, 0)), "Its scheduler sends REVIVE, or declines with a smaller refuse_seconds."
	case allocator.QuotaLimit:
		return "the limit of " + role + " leaves " + lacks + " too little.", "Raise the limit (agora quota set), or end tasks of the role."
	case allocator.QuotaGuarantees:
		return "what is free is kept for " + guaranteesText(shown.Guarantees) + "; " + lacks + " is missing.", "Add agents, or lower the guarantees of other roles (agora quota ls)."
	case allocator.InUse:
		return lacks + " is missing; in use by " + holdersText(shown.Holders) + ".", "Free " + lacks + " there, or ask for as much less."
	case allocator.BelowMinimum:
		return "what is free is less than min_allocatable_resources.", "Lower --min_allocatable_resources, or that of the framework's offer filters."
	case allocator.Reserved:
		return lacks + " is missing in what is not reserved; " + role + " has it reserved.", "Unreserve it (agora reservation rm), or use a framework of that role."
	case allocator.TooSmall:
		return "the whole agent has " + lacks + " too little.", "Add a larger agent, or ask for less."
	}
	return e.agentWords(v, shown)
}

// agentWords are those about a whole agent.
func (e *explainer) agentWords(v allocator.AgentVerdict, shown why.Agent) (reason, change string) {
	switch v.Verdict {
	case allocator.FrameworkCapability:
		return "it is revocable, shared or reserved in a way that the framework does not understand.",
			"The framework needs the capability REVOCABLE_RESOURCES, SHARED_RESOURCES or RESERVATION_REFINEMENT."
	case allocator.Constraints:
		return "the framework's offer constraints exclude it: " + strings.Join(shown.Unmet[:min(len(shown.Unmet), mostNamed)], "; or ") + ".", "Change the constraints (UPDATE_FRAMEWORK), or the agent's attributes."
	case allocator.GPUs:
		return "it has GPUs, which are for frameworks that know them.", "The framework needs the capability GPU_RESOURCES, or the master --filter_gpu_resources=false."
	case allocator.OtherRegion:
		return "it is in another region.", "The framework needs the capability REGION_AWARE."
	case allocator.AgentCapability:
		return "its agent is too old for several roles or for roles below roles.", "Upgrade the agent."
	case allocator.NotListed:
		return "the master's whitelist does not name it.", "Add the hostname to the file of --whitelist."
	case allocator.Inactive:
		return e.inactiveWords(v.Agent)
	}
	return string(v.Verdict), ""
}

func (e *explainer) inactiveWords(id core.AgentID) (reason, change string) {
	agent := e.agents[id]
	switch {
	case agent == nil || !agent.Connected:
		return "it is not connected.", "Start the agent, or mend its network."
	case agent.Drain != nil:
		return "it is " + strings.ToLower(agent.Drain.GetState().String()) + ".", "agora node undrain " + string(id)
	case agent.Deactivated:
		return "an operator deactivated it.", "agora node undrain " + string(id)
	case agent.Active:
		return "it runs as many executors as --max_executors_per_agent allows.", "Wait until one of them ends, or start the master with a higher bound."
	}
	return "it is not active.", "Wait until it has registered again."
}

func amountsText(amounts map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		parts = append(parts, fmt.Sprintf("%s:%g", name, amounts[name]))
	}
	if parts == nil {
		return "everything"
	}
	return strings.Join(parts, ";")
}

func holdersText(holders []why.Holder) string {
	var parts []string
	for i, h := range holders {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("%d more", len(holders)-i))
			break
		}
		who := "others"
		if h.Framework != "" {
			who = h.Name + " (" + h.Role + ")"
		}
		parts = append(parts, who+" with "+amountsText(h.Has))
	}
	if parts == nil {
		return "offers that are out"
	}
	return strings.Join(parts, ", ")
}

// explainTask says how a task is.
func explainTask(task *core.Task) *why.Task {
	out := &why.Task{ID: task.Base.GetTaskId().GetValue(), State: task.State.String(), Agent: task.Base.GetAgentId().GetValue()}
	if n := len(task.Statuses); n > 0 {
		last := task.Statuses[n-1]
		out.Message = last.GetMessage()
		if last.Reason != nil {
			out.Reason = last.GetReason().String()
		}
	}
	switch task.State {
	case mesos.TaskState_TASK_RUNNING:
		out.Summary = "The task runs."
	case mesos.TaskState_TASK_STAGING, mesos.TaskState_TASK_STARTING:
		out.Summary = "The task was accepted; its agent prepares it: images, volumes, networks. agora logs and the agent's log say more."
	case mesos.TaskState_TASK_KILLING:
		out.Summary = "The task is being killed, and has its grace period for that."
	case mesos.TaskState_TASK_UNREACHABLE:
		out.Summary = "Its agent does not answer; whether the task runs is not known."
	default:
		out.Summary = "The task has ended. Below: whether its framework could launch one like it now."
	}
	return out
}

// mostNamed bounds the roles and the constraints that a sentence names.
const mostNamed = 3

// guaranteesText names the roles whose guarantees keep what is free.
func guaranteesText(guarantees []why.Guarantee) string {
	var parts []string
	for _, g := range guarantees[:min(len(guarantees), mostNamed)] {
		parts = append(parts, fmt.Sprintf("'%s' (%s)", g.Role, amountsText(g.Lacks)))
	}
	if len(guarantees) > mostNamed {
		parts = append(parts, "others")
	}
	if parts == nil {
		return "the guarantees of other roles"
	}
	return "the guarantees of " + strings.Join(parts, ", ")
}

// constraintWords says what an agent would have to be.
func constraintWords(c *scheduler.AttributeConstraint) string {
	what := "attribute '" + c.GetSelector().GetAttributeName() + "'"
	if pseudo := c.GetSelector().GetPseudoattributeType(); pseudo != scheduler.AttributeConstraint_Selector_UNKNOWN {
		what = strings.ToLower(pseudo.String())
	}
	switch p := c.GetPredicate(); {
	case p.GetExists() != nil:
		return what + " must exist"
	case p.GetNotExists() != nil:
		return what + " must not exist"
	case p.GetTextEquals() != nil:
		return what + " must be '" + p.GetTextEquals().GetValue() + "'"
	case p.GetTextNotEquals() != nil:
		return what + " must not be '" + p.GetTextNotEquals().GetValue() + "'"
	case p.GetTextMatches() != nil:
		return what + " must match '" + p.GetTextMatches().GetRegex() + "'"
	case p.GetTextNotMatches() != nil:
		return what + " must not match '" + p.GetTextNotMatches().GetRegex() + "'"
	}
	return what + " has a predicate that is not known"
}
