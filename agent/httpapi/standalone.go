package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/agent/sandboxes"
	agentapi "agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/auth"
)

func (s *Server) standaloneSandbox(id containerizer.ID) string {
	return filepath.Join(s.StandaloneDir, string(id))
}

// placeSandbox says where the sandbox of a new container is: below that of its parent, or
// of its own when it has none.
func (s *Server) placeSandbox(snapshot *core.Snapshot, id containerizer.ID) (string, error) {
	parent, nested := id.Parent()
	if !nested {
		if _, taken := findContainer(snapshot, id); taken {
			return "", &refusal{http.StatusAccepted, ""}
		}
		return s.standaloneSandbox(id), nil
	}
	value := string(id[len(parent)+1:])
	s.nested.mu.Lock()
	above, made := s.nested.made[parent]
	s.nested.mu.Unlock()
	if made {
		return filepath.Join(above, "containers", value), nil
	}
	executor, live := findContainer(snapshot, parent)
	if !live {
		return "", refuse(http.StatusBadRequest, "Parent container %s does not exist", parent)
	}
	dir := executor.Sandbox
	for _, above := range strings.Split(string(parent), ".")[1:] {
		dir = filepath.Join(dir, "containers", above)
	}
	return filepath.Join(dir, "containers", value), nil
}

// makeSandbox makes the sandbox, owned by the container's user. Tasks can write to the one
// above: a link that they put there is not followed.
func (s *Server) makeSandbox(spec containerizer.Spec) error {
	uid, gid, err := s.Account(spec.User)
	if err != nil {
		return err
	}
	if _, nested := spec.ID.Parent(); nested {
		return sandboxes.Make(spec.Sandbox, uid, gid)
	}
	if err := os.MkdirAll(spec.Sandbox, 0o755); err != nil {
		return fmt.Errorf("make sandbox: %w", err)
	}
	if uid < 0 {
		return nil
	}
	return os.Lchown(spec.Sandbox, uid, gid)
}

// dropSandbox takes back the sandbox of a standalone container that was not launched: it
// would say that there is one. That of a nested one stays, with what its launch has said.
func (s *Server) dropSandbox(id containerizer.ID, sandbox string) {
	if _, nested := id.Parent(); nested {
		return
	}
	if err := os.RemoveAll(sandbox); err != nil {
		s.Log.Warn("sandbox not removed", "container", id, "error", err)
	}
}

// madeContainers describes the live containers that were made by LAUNCH_CONTAINER.
//
// Those in a container of an executor may be seen with that, others by who may see all.
func (s *Server) madeContainers(ctx context.Context, viewer *viewer, snapshot *core.Snapshot, nested, standalone bool) []*agentapi.Response_GetContainers_Container {
	s.nested.mu.Lock()
	var ids []containerizer.ID
	for id := range s.nested.made {
		if _, isNested := id.Parent(); isNested && nested || !isNested && standalone {
			ids = append(ids, id)
		}
	}
	s.nested.mu.Unlock()
	slices.Sort(ids)
	var out []*agentapi.Response_GetContainers_Container
	for _, id := range ids {
		o := ownerOf(snapshot, id)
		if o.known && !viewer.container(o.executor) || !o.known && !viewer.May(auth.ViewStandaloneContainer, auth.Any) {
			continue
		}
		status, err := s.Containers.Status(ctx, id)
		if err != nil || s.hasEnded(id) {
			continue
		}
		entry := &agentapi.Response_GetContainers_Container{ContainerId: id.Proto(), ContainerStatus: status}
		if usage, err := s.Containers.Usage(ctx, id); err == nil {
			entry.ResourceStatistics = usage
		}
		out = append(out, entry)
	}
	return out
}

// hasEnded asks without waiting.
func (s *Server) hasEnded(id containerizer.ID) bool {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.Containers.Wait(now, id)
	return err == nil
}
