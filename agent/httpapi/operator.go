package httpapi

import (
	"context"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	agentapi "agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/internal/buildinfo"
)

const (
	operatorTypes  = "application/json or application/x-protobuf or application/recordio"
	operatorAccept = "Expecting 'Accept' to allow application/json or application/x-protobuf or application/recordio"
)

func (s *Server) operatorAPI(w http.ResponseWriter, r *http.Request) {
	if !onlyPost(w, r) {
		return
	}
	media, err := contentType(r, operatorTypes, codec.JSON, codec.Protobuf, codec.RecordIO)
	if err != nil {
		answer(w, err)
		return
	}
	if media == codec.RecordIO {
		s.attachInput(w, r)
		return
	}
	if r.Header.Get("Message-Content-Type") != "" {
		answer(w, refuse(http.StatusUnsupportedMediaType,
			"Expecting 'Message-Content-Type' to be not set for non-streaming requests"))
		return
	}
	body, err := readBody(w, r)
	if err != nil {
		answer(w, err)
		return
	}
	call := &agentapi.Call{}
	if err := codec.Unmarshal(media, body, call); err != nil {
		text := codec.Describe("Call", err)
		if media == codec.Protobuf {
			text = "Failed to parse body into a protobuf object"
		}
		answer(w, refuse(http.StatusBadRequest, "%s", text))
		return
	}
	err = validateCall(call)
	if err == nil {
		err = checkRelayed(r, call.GetType())
	}
	if err != nil {
		answer(w, err)
		return
	}
	s.dispatch(w, r, call)
}

func (s *Server) dispatch(w http.ResponseWriter, r *http.Request, call *agentapi.Call) {
	out, ok := accept(r.Header.Get("Accept"), codec.JSON, codec.Protobuf, codec.RecordIO)
	if !ok {
		answer(w, refuse(http.StatusNotAcceptable, operatorAccept))
		return
	}
	g, ok := s.askCall(w, r, call)
	if !ok {
		return
	}
	switch call.GetType() {
	case agentapi.Call_LAUNCH_NESTED_CONTAINER_SESSION:
		s.launchSession(w, r, call.GetLaunchNestedContainerSession(), out, g)
		return
	case agentapi.Call_ATTACH_CONTAINER_OUTPUT:
		s.attachOutput(w, r, call.GetAttachContainerOutput().GetContainerId(), out)
		return
	case agentapi.Call_ATTACH_CONTAINER_INPUT:
		answer(w, refuse(http.StatusUnsupportedMediaType,
			"Expecting 'Content-Type' to be application/recordio for ATTACH_CONTAINER_INPUT call"))
		return
	}
	if out == codec.RecordIO {
		answer(w, refuse(http.StatusNotAcceptable, "Streaming response is not supported for %s call", call.GetType()))
		return
	}
	response, err := s.operate(r, call, g)
	s.changed(r, call.GetType(), g, err)
	if out == codec.JSON && response.GetGetAgent() != nil {
		response.GetAgent.AgentInfo = shownInfo(response.GetAgent.AgentInfo)
	}
	switch {
	case err != nil:
		answer(w, err)
	case response == nil:
		w.WriteHeader(http.StatusOK)
	default:
		writeMessage(w, out, response)
	}
}

func need(present bool, field string) error {
	if present {
		return nil
	}
	return refuse(http.StatusBadRequest, "Failed to validate agent::Call: Expecting '%s' to be present", field)
}

func validateCall(c *agentapi.Call) error {
	if c.Type == nil {
		return need(false, "type")
	}
	if c.GetType() == agentapi.Call_UNKNOWN {
		return refuse(http.StatusNotImplemented, "501 Not Implemented.")
	}
	name := strings.ToLower(c.GetType().String())
	field := c.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name))
	if field == nil || slices.Contains(bodyOptional, c.GetType()) {
		return nil
	}
	return need(c.ProtoReflect().Has(field), name)
}

// bodyOptional are the calls that mean something without their message.
var bodyOptional = []agentapi.Call_Type{agentapi.Call_GET_CONTAINERS, agentapi.Call_PRUNE_IMAGES}

func response(kind agentapi.Response_Type) *agentapi.Response {
	return &agentapi.Response{Type: &kind}
}

// operate answers the calls that are one question and one answer.
func (s *Server) operate(r *http.Request, call *agentapi.Call, g granted) (*agentapi.Response, error) {
	switch call.GetType() {
	case agentapi.Call_GET_HEALTH:
		out, healthy := response(agentapi.Response_GET_HEALTH), true
		out.GetHealth = &agentapi.Response_GetHealth{Healthy: &healthy}
		return out, nil
	case agentapi.Call_GET_VERSION:
		out := response(agentapi.Response_GET_VERSION)
		out.GetVersion = &agentapi.Response_GetVersion{VersionInfo: versionInfo(s.Version)}
		return out, nil
	case agentapi.Call_GET_FLAGS:
		return s.getFlags(), nil
	case agentapi.Call_GET_LOGGING_LEVEL:
		return s.getLoggingLevel(), nil
	case agentapi.Call_SET_LOGGING_LEVEL:
		c := call.GetSetLoggingLevel()
		s.setLoggingLevel(c.GetLevel(), time.Duration(c.GetDuration().GetNanoseconds()))
		return nil, nil
	case agentapi.Call_PRUNE_IMAGES:
		return nil, s.pruneImages(r.Context(), call.GetPruneImages().GetExcludedImages())
	case agentapi.Call_LIST_FILES:
		return s.listFiles(r, call.GetListFiles().GetPath())
	case agentapi.Call_READ_FILE:
		return s.readFile(r, call.GetReadFile())
	}
	snapshot, err := s.Backend.Snapshot(r.Context())
	if err != nil {
		return nil, refuse(http.StatusServiceUnavailable, "%s", err)
	}
	if !snapshot.Recovered {
		return nil, refuse(http.StatusServiceUnavailable, "%s", core.ErrRecovering)
	}
	if out, handled, err := s.nestedCall(r.Context(), call, g.user); handled {
		return out, err
	}
	return s.show(r, snapshot, call)
}

// show answers from a snapshot, without what the sender of r may not view.
func (s *Server) show(r *http.Request, whole *core.Snapshot, call *agentapi.Call) (*agentapi.Response, error) {
	viewer := s.viewer(r)
	snapshot := viewer.snapshot(whole)
	switch call.GetType() {
	case agentapi.Call_GET_METRICS:
		out := response(agentapi.Response_GET_METRICS)
		out.GetMetrics = &agentapi.Response_GetMetrics{}
		values := s.metrics(whole)
		names := make([]string, 0, len(values))
		for name := range values {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			value := values[name]
			out.GetMetrics.Metrics = append(out.GetMetrics.Metrics, &mesos.Metric{Name: &name, Value: &value})
		}
		return out, nil
	case agentapi.Call_GET_STATE:
		out := response(agentapi.Response_GET_STATE)
		out.GetState = &agentapi.Response_GetState{
			GetTasks: getTasks(snapshot), GetExecutors: getExecutors(snapshot), GetFrameworks: getFrameworks(snapshot),
		}
		return out, nil
	case agentapi.Call_GET_TASKS:
		out := response(agentapi.Response_GET_TASKS)
		out.GetTasks = getTasks(snapshot)
		return out, nil
	case agentapi.Call_GET_EXECUTORS:
		out := response(agentapi.Response_GET_EXECUTORS)
		out.GetExecutors = getExecutors(snapshot)
		return out, nil
	case agentapi.Call_GET_FRAMEWORKS:
		out := response(agentapi.Response_GET_FRAMEWORKS)
		out.GetFrameworks = getFrameworks(snapshot)
		return out, nil
	case agentapi.Call_GET_AGENT:
		out := response(agentapi.Response_GET_AGENT)
		out.GetAgent = &agentapi.Response_GetAgent{AgentInfo: snapshot.Agent, DrainConfig: snapshot.Drain}
		if snapshot.Drain != nil {
			since := snapshot.DrainSince.Truncate(time.Second).UnixNano()
			out.GetAgent.EstimatedDrainStartTime = &mesos.TimeInfo{Nanoseconds: &since}
		}
		return out, nil
	case agentapi.Call_GET_CONTAINERS:
		out := response(agentapi.Response_GET_CONTAINERS)
		c := call.GetGetContainers()
		out.GetContainers = &agentapi.Response_GetContainers{Containers: append(
			s.containers(r.Context(), viewer, whole, c.GetShowNested()),
			s.madeContainers(r.Context(), viewer, whole, c.GetShowNested(), c.GetShowStandalone())...)}
		return out, nil
	case agentapi.Call_GET_OPERATIONS:
		out := response(agentapi.Response_GET_OPERATIONS)
		out.GetOperations = &agentapi.Response_GetOperations{Operations: snapshot.Operations}
		return out, nil
	case agentapi.Call_GET_RESOURCE_PROVIDERS:
		out := response(agentapi.Response_GET_RESOURCE_PROVIDERS)
		out.GetResourceProviders = &agentapi.Response_GetResourceProviders{}
		return out, nil
	}
	return nil, refuse(http.StatusNotImplemented, "%s is not implemented by this agent", call.GetType())
}

// shownInfo is what an agent says of itself in JSON: Mesos leaves out what masters are told of checkpoints.
func shownInfo(info *mesos.AgentInfo) *mesos.AgentInfo {
	shown := proto.CloneOf(info)
	shown.Checkpoint = nil
	return shown
}

func (s *Server) getFlags() *agentapi.Response {
	out := response(agentapi.Response_GET_FLAGS)
	out.GetFlags = &agentapi.Response_GetFlags{}
	for _, name := range sortedNames(s.Flags) {
		value := s.Flags[name]
		out.GetFlags.Flags = append(out.GetFlags.Flags, &mesos.Flag{Name: &name, Value: &value})
	}
	return out
}

func sortedNames(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func getTasks(s *core.Snapshot) *agentapi.Response_GetTasks {
	out := &agentapi.Response_GetTasks{}
	each(s, func(f core.FrameworkView, e core.ExecutorView, live bool) {
		for _, t := range e.Queued {
			state := mesos.TaskState_TASK_STAGING
			out.QueuedTasks = append(out.QueuedTasks, &mesos.Task{
				Name: t.Name, TaskId: t.TaskId, FrameworkId: f.Info.GetId(), ExecutorId: e.Info.GetExecutorId(),
				AgentId: t.AgentId, State: &state, Resources: t.Resources, Labels: t.Labels, Discovery: t.Discovery,
				Container: t.Container,
			})
		}
		out.LaunchedTasks = append(out.LaunchedTasks, e.Launched...)
		out.TerminatedTasks = append(out.TerminatedTasks, e.Terminated...)
		out.CompletedTasks = append(out.CompletedTasks, e.Completed...)
	})
	return out
}

// each visits all executors: those of live frameworks first, live ones before completed.
func each(s *core.Snapshot, visit func(f core.FrameworkView, e core.ExecutorView, live bool)) {
	for _, list := range [][]core.FrameworkView{s.Frameworks, s.Completed} {
		for _, f := range list {
			for _, e := range f.Executors {
				visit(f, e, true)
			}
			for _, e := range f.Completed {
				visit(f, e, false)
			}
		}
	}
}

func getExecutors(s *core.Snapshot) *agentapi.Response_GetExecutors {
	out := &agentapi.Response_GetExecutors{}
	each(s, func(_ core.FrameworkView, e core.ExecutorView, live bool) {
		entry := &agentapi.Response_GetExecutors_Executor{ExecutorInfo: e.Info}
		if live {
			out.Executors = append(out.Executors, entry)
		} else {
			out.CompletedExecutors = append(out.CompletedExecutors, entry)
		}
	})
	return out
}

func getFrameworks(s *core.Snapshot) *agentapi.Response_GetFrameworks {
	out := &agentapi.Response_GetFrameworks{}
	for _, f := range s.Frameworks {
		out.Frameworks = append(out.Frameworks, &agentapi.Response_GetFrameworks_Framework{FrameworkInfo: f.Info})
	}
	for _, f := range s.Completed {
		out.CompletedFrameworks = append(out.CompletedFrameworks, &agentapi.Response_GetFrameworks_Framework{FrameworkInfo: f.Info})
	}
	return out
}

// containers describes the live containers. What cannot be measured of one is left out,
// and the others are listed all the same (MESOS-9365).
func (s *Server) containers(ctx context.Context, viewer *viewer, snapshot *core.Snapshot, nested bool) []*agentapi.Response_GetContainers_Container {
	var out []*agentapi.Response_GetContainers_Container
	each(snapshot, func(f core.FrameworkView, e core.ExecutorView, _ bool) {
		if !viewer.container(e) {
			return
		}
		for _, c := range e.Containers {
			if _, isNested := c.ID.Parent(); isNested && !nested {
				continue
			}
			entry := &agentapi.Response_GetContainers_Container{ContainerId: c.ID.Proto(), ContainerStatus: s.containerStatus(ctx, c)}
			if _, isNested := c.ID.Parent(); isNested {
				entry.ContainerId.Parent = nil // the status has it, as in Mesos
			} else {
				entry.FrameworkId, entry.ExecutorId, entry.ExecutorName = f.Info.GetId(), e.Info.GetExecutorId(), e.Info.Name
				if entry.ExecutorName == nil {
					entry.ExecutorName = new(string)
				}
			}
			if usage, err := s.Containers.Usage(ctx, c.ID); err == nil {
				entry.ResourceStatistics = usage
			}
			out = append(out, entry)
		}
	})
	return out
}

// containerStatus has what the core knows; how networks are at this moment, the containerizer
// tells.
func (s *Server) containerStatus(ctx context.Context, c core.ContainerView) *mesos.ContainerStatus {
	out := &mesos.ContainerStatus{ContainerId: c.ID.Proto()}
	if c.Status != nil {
		out.NetworkInfos, out.CgroupInfo = c.Status.GetNetworkInfos(), c.Status.GetCgroupInfo()
	}
	if len(out.NetworkInfos) > 0 {
		if status, err := s.Containers.Status(ctx, c.ID); err == nil {
			out.NetworkInfos = status.GetNetworkInfos()
		}
	}
	if c.PID > 0 {
		pid := uint32(c.PID)
		out.ExecutorPid = &pid
	}
	return out
}

// findContainer looks for a live container.
func findContainer(s *core.Snapshot, id containerizer.ID) (core.ExecutorView, bool) {
	var found core.ExecutorView
	ok := false
	each(s, func(_ core.FrameworkView, e core.ExecutorView, _ bool) {
		for _, c := range e.Containers {
			if c.ID == id {
				found, ok = e, true
			}
		}
	})
	return found, ok
}

func versionInfo(version string) *mesos.VersionInfo {
	build := buildinfo.Read()
	out := &mesos.VersionInfo{Version: &version, BuildDate: &build.Date, BuildTime: &build.Time, BuildUser: &build.User}
	if build.Revision != "" {
		out.GitSha = &build.Revision
	}
	return out
}
