package core

import (
	"strings"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/auth"
	"agora.dev/agora/master/validation"
)

// Authorizer decides what frameworks and agents may do. It is asked within a step, so its answer
// must depend on the question alone.
type Authorizer interface {
	Allows(p *auth.Principal, action auth.Action, object auth.Object) bool
}

// allowed asks the authorizer; without one everything is allowed.
func (c *Core) allowed(principal string, action auth.Action, object auth.Object) bool {
	return c.cfg.Authorizer == nil || c.cfg.Authorizer.Allows(auth.Named(principal), action, object)
}

// refused notes for the audit log what the authorizer did not allow, and gives the reason back.
func (c *Core) refused(principal, what, reason string) string {
	c.ready.Notes = append(c.ready.Notes, Note{Refusal: &Refusal{Principal: principal, What: what, Reason: reason}})
	return reason
}

func (f *framework) principal() string { return f.rec.Info.GetPrincipal() }

// authorizeRoles says why a framework may not have its roles, or nothing.
func (c *Core) authorizeRoles(info *mesos.FrameworkInfo) string {
	roles := validation.Roles(info)
	for _, role := range roles {
		if !c.allowed(info.GetPrincipal(), auth.RegisterFramework, auth.Of(role)) {
			return c.refused(info.GetPrincipal(), "FRAMEWORK "+info.GetName(), "Not authorized to use roles '{ "+strings.Join(roles, ", ")+" }'")
		}
	}
	return ""
}

// authorizeTask says why a task may not be launched, or nothing.
func (c *Core) authorizeTask(f *framework, info *mesos.TaskInfo) string {
	user := auth.LaunchUser(info, f.rec.Info)
	if c.allowed(f.principal(), auth.RunTask, user) {
		return ""
	}
	return c.refused(f.principal(), "LAUNCH "+string(f.id)+" "+info.GetTaskId().GetValue(), "Not authorized to launch as user '"+user.Value()+"'")
}

// authorizeGroup says why a group of tasks may not be launched, or nothing. The executor's user
// stands for tasks that name none.
func (c *Core) authorizeGroup(f *framework, group *mesos.TaskGroupInfo, executor *mesos.ExecutorInfo) string {
	for _, info := range group.GetTasks() {
		if info.GetExecutor() == nil && executor != nil {
			info = &mesos.TaskInfo{TaskId: info.TaskId, Command: info.Command, Executor: executor}
		}
		if problem := c.authorizeTask(f, info); problem != "" {
			return "Task '" + info.GetTaskId().GetValue() + "' is not authorized: " + problem
		}
	}
	return ""
}

// operationVerbs end "Not authorized to" in the texts of refused operations.
var operationVerbs = map[mesos.Offer_Operation_Type]string{
	mesos.Offer_Operation_RESERVE: "reserve resources", mesos.Offer_Operation_UNRESERVE: "unreserve resources",
	mesos.Offer_Operation_CREATE: "create persistent volumes", mesos.Offer_Operation_DESTROY: "destroy persistent volumes",
	mesos.Offer_Operation_GROW_VOLUME: "grow a volume", mesos.Offer_Operation_SHRINK_VOLUME: "shrink a volume",
	mesos.Offer_Operation_CREATE_DISK: "create disk", mesos.Offer_Operation_DESTROY_DISK: "destroy disk",
}

// authorizeOperation refuses an operation that the framework's principal may not do.
func (c *Core) authorizeOperation(f *framework, op *mesos.Offer_Operation) error {
	for _, q := range auth.Operation(op) {
		if !c.allowed(f.principal(), q.Action, q.Object) {
			return validation.Invalid(c.refused(f.principal(), op.GetType().String()+" "+string(f.id),
				"Not authorized to "+operationVerbs[op.GetType()]+" as '"+f.principal()+"'"))
		}
	}
	return nil
}

// authorizeAgent says why an agent may not register, or nothing. Its static reservations are
// made in its name.
func (c *Core) authorizeAgent(l *agentLink, info *mesos.AgentInfo) string {
	if !c.allowed(l.principal, auth.RegisterAgent, auth.Any) {
		return c.refused(l.principal, "AGENT "+info.GetHostname(), "Not authorized to register as '"+l.principal+"'")
	}
	for _, r := range info.GetResources() {
		role := auth.ReservationRole(r)
		if role.Value() != "*" && !c.allowed(l.principal, auth.ReserveResources, role) {
			return c.refused(l.principal, "AGENT "+info.GetHostname(),
				"Not authorized to reserve resources for role '"+role.Value()+"' as '"+l.principal+"'")
		}
	}
	return ""
}

// refuseAgent tells an agent why, and that it may try again.
func (c *Core) refuseAgent(l *agentLink, info *mesos.AgentInfo, reason string) {
	c.note(noteWarn, "agent refused", "hostname", info.GetHostname(), "reason", reason)
	c.refuse(l.id, reason)
}
