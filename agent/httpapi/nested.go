package httpapi

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
	agentapi "agora.dev/agora/api/mesos/v1/agent"
)

// nested are the containers that were made by LAUNCH_CONTAINER, with their sandboxes. Those
// below a container of an executor end with that, and with the agent; standalone ones stay
// until somebody removes them.
type nested struct {
	mu   sync.Mutex
	made map[containerizer.ID]string
}

// maxContainerID is the longest value of a container's ID.
const maxContainerID = 242

func validContainerID(field string, id *mesos.ContainerID, needParent bool) error {
	value := id.GetValue()
	text := ""
	switch {
	case needParent && id.GetParent() == nil:
		return need(false, field+".parent")
	case value == "":
		text = "ID must not be empty"
	case len(value) > maxContainerID:
		text = "ID must not be greater than 242 characters"
	case strings.ContainsAny(value, "/\\ .") || strings.ContainsFunc(value, func(r rune) bool { return r < 32 || r == 127 }):
		text = "'" + value + "' contains invalid characters"
	}
	if text != "" {
		return refuse(http.StatusBadRequest, "Failed to validate agent::Call: '%s' is invalid: %s", field, text)
	}
	if id.GetParent() != nil {
		return validContainerID(field+".parent", id.GetParent(), false)
	}
	return nil
}

// nestedCall answers the calls on nested containers, where commands run as user; handled is false for other calls.
func (s *Server) nestedCall(ctx context.Context, call *agentapi.Call, user string) (out *agentapi.Response, handled bool, err error) {
	switch call.GetType() {
	case agentapi.Call_LAUNCH_CONTAINER:
		c := call.GetLaunchContainer()
		if err = validContainerID("launch_container.container_id", c.GetContainerId(), false); err == nil {
			linux := c.GetContainer().GetLinuxInfo()
			err = s.launchNested(ctx, c.GetContainerId(), containerizer.Spec{
				User: user, Command: c.GetCommand(), Container: c.GetContainer(), Resources: c.GetResources(), Limits: scalars(c.GetLimits()),
				ShareCgroups: c.GetContainerId().GetParent() != nil && (linux == nil || linux.GetShareCgroups()),
			})
		}
	case agentapi.Call_LAUNCH_NESTED_CONTAINER:
		c := call.GetLaunchNestedContainer()
		if err = validContainerID("launch_nested_container.container_id", c.GetContainerId(), true); err == nil {
			err = s.launchNested(ctx, c.GetContainerId(), containerizer.Spec{
				User: user, Command: c.GetCommand(), Container: c.GetContainer(), ShareCgroups: true,
			})
		}
	case agentapi.Call_WAIT_CONTAINER:
		out, err = s.waitNested(ctx, call.GetWaitContainer().GetContainerId(), false)
	case agentapi.Call_WAIT_NESTED_CONTAINER:
		id := call.GetWaitNestedContainer().GetContainerId()
		if err = validContainerID("wait_nested_container.container_id", id, true); err == nil {
			out, err = s.waitNested(ctx, id, true)
		}
	case agentapi.Call_KILL_CONTAINER:
		err = s.killNested(ctx, call.GetKillContainer().GetContainerId(), call.GetKillContainer().Signal)
	case agentapi.Call_KILL_NESTED_CONTAINER:
		err = s.killNested(ctx, call.GetKillNestedContainer().GetContainerId(), call.GetKillNestedContainer().Signal)
	case agentapi.Call_REMOVE_CONTAINER:
		err = s.removeNested(ctx, call.GetRemoveContainer().GetContainerId())
	case agentapi.Call_REMOVE_NESTED_CONTAINER:
		id := call.GetRemoveNestedContainer().GetContainerId()
		if err = validContainerID("remove_nested_container.container_id", id, true); err == nil {
			err = s.removeNested(ctx, id)
		}
	default:
		return nil, false, nil
	}
	return out, true, err
}

func (s *Server) isMade(id containerizer.ID) bool {
	s.nested.mu.Lock()
	defer s.nested.mu.Unlock()
	_, made := s.nested.made[id]
	return made
}

func scalars(limits map[string]*mesos.Value_Scalar) map[string]float64 {
	if len(limits) == 0 {
		return nil
	}
	out := map[string]float64{}
	for name, value := range limits {
		out[name] = value.GetValue()
	}
	return out
}

func (s *Server) launchNested(ctx context.Context, proto *mesos.ContainerID, spec containerizer.Spec) error {
	spec.ID = containerizer.IDOf(proto)
	if s.isMade(spec.ID) {
		return &refusal{http.StatusAccepted, ""}
	}
	snapshot, err := s.Backend.Snapshot(ctx)
	if err != nil {
		return refuse(http.StatusServiceUnavailable, "%s", err)
	}
	if spec.Sandbox, err = s.placeSandbox(snapshot, spec.ID); err != nil {
		return err
	}
	if spec.Command == nil && spec.Container.GetMesos().GetImage() != nil {
		spec.Command = &mesos.CommandInfo{Shell: new(bool)} // the image's own
	}
	if spec.Command == nil {
		return refuse(http.StatusBadRequest, "Failed to validate agent::Call: the container has no command")
	}
	if err := s.makeSandbox(spec); err != nil {
		s.dropSandbox(spec.ID, spec.Sandbox)
		return refuse(http.StatusBadRequest, "%s", err)
	}
	spec.Env = map[string]string{"MESOS_SANDBOX": spec.Sandbox}
	// The container must not end with the request that made it.
	if _, err := s.Containers.Launch(context.WithoutCancel(ctx), spec); err != nil {
		s.dropSandbox(spec.ID, spec.Sandbox)
		return refuse(http.StatusBadRequest, "%s", err)
	}
	if s.Launched != nil {
		s.Launched(spec.ID, spec.Sandbox)
	}
	s.nested.mu.Lock()
	defer s.nested.mu.Unlock()
	for id := range s.nested.made { // what ended with its root is of no more use
		_, standalone := s.nested.made[id.Root()]
		if _, live := findContainer(snapshot, id.Root()); !live && !standalone {
			delete(s.nested.made, id)
		}
	}
	s.nested.made[spec.ID] = spec.Sandbox
	return nil
}

// known says whether a container can be waited for or killed.
func (s *Server) known(ctx context.Context, id containerizer.ID) error {
	if s.isMade(id) || s.isSession(id) {
		return nil
	}
	snapshot, err := s.Backend.Snapshot(ctx)
	if err != nil {
		return refuse(http.StatusServiceUnavailable, "%s", err)
	}
	if _, ok := findContainer(snapshot, id); !ok {
		return refuse(http.StatusNotFound, "Container %s cannot be found", id)
	}
	return nil
}

func (s *Server) waitNested(ctx context.Context, proto *mesos.ContainerID, legacy bool) (*agentapi.Response, error) {
	id := containerizer.IDOf(proto)
	if err := s.known(ctx, id); err != nil {
		return nil, err
	}
	how, err := s.await(ctx, id)
	if err != nil {
		return nil, refuse(http.StatusNotFound, "Container %s cannot be found", id)
	}
	end := &agentapi.Response_WaitContainer{ExitStatus: how.Status}
	if how.Message != "" {
		end.Message = &how.Message
	}
	if how.Limitation() {
		end.State, end.Reason = &how.State, &how.Reason
		end.Limitation = &mesos.TaskResourceLimitation{Resources: how.Limited}
	}
	if !legacy {
		out := response(agentapi.Response_WAIT_CONTAINER)
		out.WaitContainer = end
		return out, nil
	}
	out := response(agentapi.Response_WAIT_NESTED_CONTAINER)
	out.WaitNestedContainer = &agentapi.Response_WaitNestedContainer{
		ExitStatus: end.ExitStatus, State: end.State, Reason: end.Reason, Limitation: end.Limitation, Message: end.Message,
	}
	return out, nil
}

// await waits for a container, or for the command of a session.
func (s *Server) await(ctx context.Context, id containerizer.ID) (containerizer.Termination, error) {
	if opened := s.session(id); opened != nil {
		select {
		case <-opened.done:
			return opened.how, nil
		case <-ctx.Done():
			return containerizer.Termination{}, ctx.Err()
		}
	}
	return s.Containers.Wait(ctx, id)
}

// session is the session of a container, open or just ended; nil without one.
func (s *Server) session(id containerizer.ID) *session {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	if opened := s.sessions.open[id]; opened != nil {
		return opened
	}
	return s.sessions.past[id]
}

func (s *Server) isSession(id containerizer.ID) bool { return s.session(id) != nil }

func (s *Server) killNested(ctx context.Context, proto *mesos.ContainerID, signal *int32) error {
	id := containerizer.IDOf(proto)
	if err := s.known(ctx, id); err != nil {
		var r *refusal
		if errors.As(err, &r) && r.code == http.StatusNotFound {
			return refuse(http.StatusNotFound, "Container '%s' cannot be found (or is already killed)", id)
		}
		return err
	}
	if signal != nil && syscall.Signal(*signal) != syscall.SIGKILL {
		return s.Containers.Signal(ctx, id, syscall.Signal(*signal))
	}
	return s.Containers.Destroy(ctx, id)
}

// removeNested forgets an ended container and its sandbox. A container without a parent
// that is unknown killed Mesos's agent (golden/crashes); here it cannot be found.
func (s *Server) removeNested(ctx context.Context, proto *mesos.ContainerID) error {
	id := containerizer.IDOf(proto)
	if !s.isMade(id) {
		if proto.GetParent() == nil {
			return refuse(http.StatusNotFound, "Container %s cannot be found", id)
		}
		return refuse(http.StatusInternalServerError, "Unknown root container")
	}
	if err := s.Containers.Remove(ctx, id); errors.Is(err, containerizer.ErrRunning) {
		return refuse(http.StatusInternalServerError, "Nested container has not terminated yet")
	} else if err != nil {
		return refuse(http.StatusInternalServerError, "%s", err)
	}
	s.nested.mu.Lock()
	sandbox := s.nested.made[id]
	for below := range s.nested.made {
		if below == id || strings.HasPrefix(string(below), string(id)+".") {
			delete(s.nested.made, below)
		}
	}
	s.nested.mu.Unlock()
	return os.RemoveAll(sandbox)
}
