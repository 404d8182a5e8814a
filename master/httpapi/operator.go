package httpapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/master/core"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// operator is POST /api/v1.
func (s *Server) operator(w http.ResponseWriter, r *http.Request) {
	call := new(master.Call)
	if !s.readCall(w, r, call) {
		return
	}
	if field := missing(call); field != "" {
		text(w, http.StatusBadRequest, "Failed to validate master::Call: Expecting '"+field+"' to be present")
		return
	}
	media, ok := accepted(r)
	if !ok {
		text(w, http.StatusNotAcceptable, textAccept)
		return
	}
	questions, declared := callQuestions(call)
	if !declared {
		s.guard.Forbid(w, r, call.GetType().String(), guard.TextUndeclared)
		return
	}
	if !s.guard.Permit(w, r, call.GetType().String(), questions) {
		return
	}
	if call.GetType() == master.Call_SUBSCRIBE {
		s.watch(w, r, media)
		return
	}
	if s.local(w, r, media, call) {
		return
	}
	if command := commandOf(call); command != nil {
		s.askOperator(w, r, command)
		return
	}
	response := s.query(r, call)
	switch {
	case response != nil:
		response.Type = master.Response_Type(master.Response_Type_value[call.GetType().String()]).Enum()
		s.reply(w, r, media, response)
	case call.GetType() == master.Call_UNKNOWN:
		text(w, http.StatusNotImplemented, textNotImplement)
	default:
		text(w, http.StatusNotImplemented, call.GetType().String()+" is not implemented by this master")
	}
}

// local answers calls about this process: its log.
func (s *Server) local(w http.ResponseWriter, r *http.Request, media codec.MediaType, call *master.Call) bool {
	var response *master.Response
	var err error
	switch call.GetType() {
	case master.Call_SET_LOGGING_LEVEL:
		s.setLoggingLevel(w, call.GetSetLoggingLevel())
		return true
	case master.Call_LIST_FILES:
		response, err = s.listFiles(call.GetListFiles())
	case master.Call_READ_FILE:
		response, err = s.readFile(call.GetReadFile())
	default:
		return false
	}
	if err != nil {
		fileError(w, err)
		return true
	}
	response.Type = master.Response_Type(master.Response_Type_value[call.GetType().String()]).Enum()
	s.reply(w, r, media, response)
	return true
}

// missing names the member that a call's type requires and that is not there: the one that
// is named like the type.
func missing(call *master.Call) string {
	if call.Type == nil {
		return "type"
	}
	m := call.ProtoReflect()
	name := strings.ToLower(call.GetType().String())
	field := m.Descriptor().Fields().ByName(protoreflect.Name(name))
	if field != nil && !m.Has(field) {
		return name
	}
	return ""
}

// commandOf gives the command for the core, nil for calls that only ask.
func commandOf(call *master.Call) core.OperatorCommand {
	switch call.GetType() {
	case master.Call_TEARDOWN:
		return core.Teardown{Framework: core.FrameworkID(call.GetTeardown().GetFrameworkId().GetValue())}
	case master.Call_MARK_AGENT_GONE:
		return core.MarkGone{Agent: core.AgentID(call.GetMarkAgentGone().GetAgentId().GetValue())}
	case master.Call_DRAIN_AGENT:
		return drainCommand(call.GetDrainAgent())
	case master.Call_DEACTIVATE_AGENT:
		return core.DeactivateAgent{Agent: core.AgentID(call.GetDeactivateAgent().GetAgentId().GetValue())}
	case master.Call_REACTIVATE_AGENT:
		return core.ReactivateAgent{Agent: core.AgentID(call.GetReactivateAgent().GetAgentId().GetValue())}
	}
	if command := maintenanceCommand(call); command != nil {
		return command
	}
	if command := operationCommand(call); command != nil {
		return command
	}
	return settingCommand(call)
}

// query answers calls that only ask; nil when there is no such query.
func (s *Server) query(r *http.Request, call *master.Call) *master.Response {
	snapshot := s.visible(r)
	switch call.GetType() {
	case master.Call_GET_HEALTH:
		return &master.Response{GetHealth: &master.Response_GetHealth{Healthy: ptr(true)}}
	case master.Call_GET_VERSION:
		return &master.Response{GetVersion: &master.Response_GetVersion{VersionInfo: s.cfg.Version.proto()}}
	case master.Call_GET_FLAGS:
		return &master.Response{GetFlags: &master.Response_GetFlags{Flags: flagList(s.cfg.Flags)}}
	case master.Call_GET_METRICS:
		return &master.Response{GetMetrics: &master.Response_GetMetrics{Metrics: s.metricList(r.Context(), call.GetGetMetrics().GetTimeout())}}
	case master.Call_GET_LOGGING_LEVEL:
		return &master.Response{GetLoggingLevel: &master.Response_GetLoggingLevel{Level: ptr(s.verbosity.get())}}
	case master.Call_GET_STATE:
		return &master.Response{GetState: stateProto(snapshot)}
	case master.Call_GET_AGENTS:
		return &master.Response{GetAgents: agentsProto(snapshot)}
	case master.Call_GET_FRAMEWORKS:
		return &master.Response{GetFrameworks: frameworksProto(snapshot)}
	case master.Call_GET_EXECUTORS:
		return &master.Response{GetExecutors: executorsProto(snapshot)}
	case master.Call_GET_TASKS:
		return &master.Response{GetTasks: tasksProto(snapshot)}
	case master.Call_GET_OPERATIONS:
		return &master.Response{GetOperations: operationsProto(snapshot)}
	case master.Call_GET_ROLES:
		return &master.Response{GetRoles: s.rolesProto(r)}
	case master.Call_GET_WEIGHTS:
		return &master.Response{GetWeights: weightsProto(snapshot)}
	case master.Call_GET_QUOTA:
		return &master.Response{GetQuota: &master.Response_GetQuota{Status: quotaProto(snapshot)}}
	case master.Call_GET_MASTER:
		return &master.Response{GetMaster: &master.Response_GetMaster{MasterInfo: snapshot.Master,
			StartTime: ptr(seconds(snapshot.StartedAt)), ElectedTime: ptr(seconds(snapshot.ElectedAt))}}
	}
	return maintenanceQuery(call, snapshot)
}

func (s *Server) reply(w http.ResponseWriter, r *http.Request, media codec.MediaType, message proto.Message) {
	body, err := codec.Marshal(media, message)
	if err != nil {
		s.cfg.Log.Error("response not encoded", "path", r.URL.Path, "error", err)
		text(w, http.StatusInternalServerError, "Internal error")
		return
	}
	send(w, r, string(media), body)
}

func (v Version) proto() *mesos.VersionInfo {
	info := &mesos.VersionInfo{Version: ptr(v.Version)}
	optional := func(to **string, value string) {
		if value != "" {
			*to = &value
		}
	}
	optional(&info.BuildDate, v.BuildDate)
	optional(&info.BuildUser, v.BuildUser)
	optional(&info.GitSha, v.GitSHA)
	optional(&info.GitBranch, v.GitBranch)
	optional(&info.GitTag, v.GitTag)
	info.BuildTime = &v.BuildTime
	return info
}

func flagList(flags map[string]string) []*mesos.Flag {
	list := make([]*mesos.Flag, 0, len(flags))
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		list = append(list, &mesos.Flag{Name: &name, Value: ptr(flags[name])})
	}
	return list
}

func stateProto(snapshot *core.Snapshot) *master.Response_GetState {
	return &master.Response_GetState{
		GetTasks:      tasksProto(snapshot),
		GetExecutors:  executorsProto(snapshot),
		GetFrameworks: frameworksProto(snapshot),
		GetAgents:     agentsProto(snapshot),
	}
}

func agentsProto(snapshot *core.Snapshot) *master.Response_GetAgents {
	m := &master.Response_GetAgents{}
	for agent := range snapshot.Agents.All() {
		p := agent.Proto()
		p.TotalResources = endpointResources(p.TotalResources)
		p.AllocatedResources = endpointResources(p.AllocatedResources)
		p.OfferedResources = endpointResources(p.OfferedResources)
		m.Agents = append(m.Agents, p)
	}
	for agent := range snapshot.RecoveredAgents.All() {
		m.RecoveredAgents = append(m.RecoveredAgents, agent.Info)
	}
	return m
}

func frameworksProto(snapshot *core.Snapshot) *master.Response_GetFrameworks {
	m := &master.Response_GetFrameworks{}
	byID := map[core.FrameworkID]*master.Response_GetFrameworks_Framework{}
	for framework := range snapshot.Frameworks.All() {
		p := framework.Proto()
		var used []*mesos.Resource
		for _, h := range holdings(framework) {
			used = append(used, h.resources...)
		}
		p.AllocatedResources = endpointResources(sumResources(used))
		byID[framework.ID] = p
		m.Frameworks = append(m.Frameworks, p)
	}
	for offer := range snapshot.Offers.All() {
		if p := byID[core.FrameworkID(offer.Info.GetFrameworkId().GetValue())]; p != nil {
			p.Offers = append(p.Offers, offer.Info)
			p.OfferedResources = append(p.OfferedResources, offer.Info.Resources...)
		}
	}
	for agent := range snapshot.Agents.All() {
		for _, offer := range agent.InverseOffers {
			if p := byID[core.FrameworkID(offer.GetFrameworkId().GetValue())]; p != nil {
				p.InverseOffers = append(p.InverseOffers, offer)
			}
		}
	}
	for _, p := range m.Frameworks {
		p.OfferedResources = endpointResources(sumResources(p.OfferedResources))
	}
	for framework := range snapshot.CompletedFrameworks.All() {
		m.CompletedFrameworks = append(m.CompletedFrameworks, framework.Proto())
	}
	return m
}

func executorsProto(snapshot *core.Snapshot) *master.Response_GetExecutors {
	m := &master.Response_GetExecutors{}
	for framework := range snapshot.Frameworks.All() {
		for executor := range framework.Executors.All() {
			m.Executors = append(m.Executors, &master.Response_GetExecutors_Executor{
				ExecutorInfo: executor.Info, AgentId: &mesos.AgentID{Value: ptr(string(executor.Agent))}})
		}
	}
	return m
}

func tasksProto(snapshot *core.Snapshot) *master.Response_GetTasks {
	m := &master.Response_GetTasks{}
	for _, view := range []core.View[core.Framework]{snapshot.Frameworks, snapshot.CompletedFrameworks} {
		for framework := range view.All() {
			m.Tasks = appendTasks(m.Tasks, framework.Tasks)
			m.UnreachableTasks = appendTasks(m.UnreachableTasks, framework.UnreachableTasks)
			m.CompletedTasks = appendTasks(m.CompletedTasks, framework.CompletedTasks)
		}
	}
	return m
}

func appendTasks(list []*mesos.Task, view core.View[core.Task]) []*mesos.Task {
	for task := range view.All() {
		list = append(list, task.Proto())
	}
	return list
}

func operationsProto(snapshot *core.Snapshot) *master.Response_GetOperations {
	m := &master.Response_GetOperations{}
	for operation := range snapshot.Operations.All() {
		m.Operations = append(m.Operations, operation.Info)
	}
	return m
}

func ptr[T any](v T) *T { return &v }
