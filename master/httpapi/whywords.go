package httpapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
)

// add puts one explanation into words, without what the viewer may not see.
func (a *whyAnswer) add(q allocator.Question, e allocator.Explanation) {
	f := a.framework(q.Framework)
	if f == nil || !e.Known {
		return
	}
	out := whyFramework{ID: string(f.ID), Name: f.Info.GetName(), Roles: []whyRole{}}
	for _, r := range e.Roles {
		if !a.viewer.role(r.Role) {
			continue
		}
		role := whyRole{Role: r.Role, Suppressed: r.Suppressed, Share: r.Share, FrameworkShare: r.FrameworkShare, Counts: map[string]int{}, Agents: []whyAgent{}}
		for verdict, n := range r.Counts {
			role.Counts[string(verdict)] = n
		}
		for _, v := range r.Agents {
			role.Agents = append(role.Agents, a.agentVerdict(f, v))
		}
		role.Summary, role.Change = a.summary(f, e, r, role.Agents)
		out.Roles = append(out.Roles, role)
	}
	a.Frameworks = append(a.Frameworks, out)
}

// summary says in one sentence what is in the way in a role, and the smallest change.
func (a *whyAnswer) summary(f *core.Framework, e allocator.Explanation, r allocator.RoleExplanation, agents []whyAgent) (summary, change string) {
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
	case e.Waiting:
		return fmt.Sprintf("After the master's election nothing is offered before most of %d agents are back.", e.Expected), "Wait, or start the agents that are missing."
	case total == 0:
		return "The cluster has no agents.", "Start an agent: agora agent --master=ADDRESS."
	case offered > 0:
		return fmt.Sprintf("Nothing is in the way: %d of %d agents are offered next, to who has the smallest share first.", offered, total), "None."
	case len(agents) == 0:
		return fmt.Sprintf("None of %d agents can be offered.", total), "Ask for more agents to see why."
	}
	return fmt.Sprintf("None of %d agents can be offered. The nearest is %s: %s", total, agents[0].Hostname, agents[0].Reason), agents[0].Change
}

func (a *whyAnswer) agentVerdict(f *core.Framework, v allocator.AgentVerdict) whyAgent {
	out := whyAgent{ID: string(v.Agent), Hostname: v.Hostname, Verdict: string(v.Verdict), Lacks: v.Lacks}
	if v.Role != "" && a.viewer.role(v.Role) {
		out.Role = v.Role
	}
	if !v.Until.IsZero() {
		out.Until = float64(v.Until.UnixMilli()) / 1000
	}
	for _, h := range v.Holders {
		out.Holders = append(out.Holders, a.holder(v.Agent, h))
	}
	out.Reason, out.Change = a.words(v, out)
	return out
}

// holder names who has what is missing, and with which tasks; who may not be seen has no name.
func (a *whyAnswer) holder(agent core.AgentID, h allocator.Holder) whyHolder {
	out := whyHolder{Has: h.Has}
	f := a.framework(h.Framework)
	if f == nil || !a.viewer.role(h.Role) {
		return out
	}
	out.Framework, out.Name, out.Role = string(f.ID), f.Info.GetName(), h.Role
	for task := range f.Tasks.All() {
		if task.Base.GetAgentId().GetValue() == string(agent) && !terminal(task.State) && len(out.Tasks) < agentsExplained {
			out.Tasks = append(out.Tasks, task.Base.GetTaskId().GetValue())
		}
	}
	return out
}

// words are the reason and the smallest change of a verdict.
func (a *whyAnswer) words(v allocator.AgentVerdict, shown whyAgent) (reason, change string) {
	lacks := amountsText(v.Lacks)
	switch v.Verdict {
	case allocator.OfferedNext:
		return "it is offered next.", "None."
	case allocator.JustOffered:
		return "it was offered a moment ago, and is again in 50 ms.", "None."
	case allocator.Declined:
		left := time.Until(v.Until).Round(time.Second)
		return fmt.Sprintf("the framework declined as much; its filter lasts %s more.", max(left, 0)), "Its scheduler sends REVIVE, or declines with a smaller refuse_seconds."
	case allocator.QuotaLimit:
		return "the limit of the role '" + shown.Role + "' leaves " + lacks + " too little.", "Raise the limit (agora quota set), or end tasks of the role."
	case allocator.QuotaGuarantees:
		return "what is free is kept for the guarantees of other roles; " + lacks + " is missing.", "Add agents, or lower the guarantees of other roles (agora quota ls)."
	case allocator.InUse:
		return lacks + " is missing; in use by " + a.holdersText(shown.Holders) + ".", "Free " + lacks + " there, or ask for as much less."
	case allocator.BelowMinimum:
		return "what is free is less than min_allocatable_resources.", "Lower --min_allocatable_resources, or that of the framework's offer filters."
	case allocator.Reserved:
		return lacks + " is missing in what is not reserved; the role '" + shown.Role + "' has it reserved.", "Unreserve it (agora reservation rm), or use a framework of that role."
	case allocator.TooSmall:
		return "the whole agent has " + lacks + " too little.", "Add a larger agent, or ask for less."
	}
	return a.agentWords(v)
}

// agentWords are those about a whole agent.
func (a *whyAnswer) agentWords(v allocator.AgentVerdict) (reason, change string) {
	switch v.Verdict {
	case allocator.FrameworkCapability:
		return "it is revocable, shared or reserved in a way that the framework does not understand.",
			"The framework needs the capability REVOCABLE_RESOURCES, SHARED_RESOURCES or RESERVATION_REFINEMENT."
	case allocator.Constraints:
		return "the framework's offer constraints exclude it.", "Change the constraints (UPDATE_FRAMEWORK), or the agent's attributes."
	case allocator.GPUs:
		return "it has GPUs, which are for frameworks that know them.", "The framework needs the capability GPU_RESOURCES, or the master --filter_gpu_resources=false."
	case allocator.OtherRegion:
		return "it is in another region.", "The framework needs the capability REGION_AWARE."
	case allocator.AgentCapability:
		return "its agent is too old for several roles or for roles below roles.", "Upgrade the agent."
	case allocator.NotListed:
		return "the master's whitelist does not name it.", "Add the hostname to the file of --whitelist."
	case allocator.Inactive:
		return a.inactiveWords(v.Agent)
	}
	return string(v.Verdict), ""
}

func (a *whyAnswer) inactiveWords(id core.AgentID) (reason, change string) {
	agent := a.agent(id)
	switch {
	case agent == nil || !agent.Connected:
		return "it is not connected.", "Start the agent, or mend its network."
	case agent.Drain != nil:
		return "it is " + strings.ToLower(agent.Drain.GetState().String()) + ".", "agora node undrain " + string(id)
	case agent.Deactivated:
		return "an operator deactivated it.", "agora node undrain " + string(id)
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

func (a *whyAnswer) holdersText(holders []whyHolder) string {
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
func explainTask(task *core.Task) *whyTask {
	out := &whyTask{ID: task.Base.GetTaskId().GetValue(), State: task.State.String(), Agent: task.Base.GetAgentId().GetValue()}
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
