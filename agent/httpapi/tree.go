package httpapi

import (
	"context"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"agora.dev/agora/agent/core"
	"agora.dev/agora/agent/files"
	"agora.dev/agora/auth"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/auth/httpauth"
)

// attachment is a path of the virtual file tree.
type attachment struct {
	target string
	asks   auth.Question
}

// treeFor is the file tree as the sender of r may use it for one path, or the refusal.
func (s *Server) treeFor(r *http.Request, what, name string) (files.Tree, error) {
	all := s.attachments(r.Context())
	tree := files.Tree(func() map[string]string { return targets(all) })
	if at, ok := tree.Attached(name); ok {
		asks := all[at].asks
		if !s.guard.ACLs.Allows(httpauth.PrincipalOf(r), asks.Action, asks.Object) {
			text := guard.NotAllowed(asks.Action)
			s.guard.Audit.Refused(r, what+" "+name, http.StatusForbidden, text)
			return nil, refuse(http.StatusForbidden, "%s", text)
		}
	}
	return tree, nil
}

func targets(all map[string]attachment) map[string]string {
	out := make(map[string]string, len(all))
	for name, a := range all {
		out[name] = a.target
	}
	return out
}

// listed are the names for /files/debug: of ended runs there is no end.
func listed(all map[string]attachment) map[string]string {
	out := targets(all)
	maps.DeleteFunc(out, func(name, _ string) bool { return strings.HasPrefix(name, postmortemRoot) })
	return out
}

// postmortemRoot begins the names of what is kept of ended runs.
const postmortemRoot = "/postmortem/"

// Postmortem is what is kept of one ended run, in a directory.
type Postmortem struct {
	Framework, Executor, Task, Container string
	User                                 string
	Dir                                  string
}

// addPostmortems attaches them, as /postmortem/containers/ID and the newest of each task, or of a custom
// executor, as /postmortem/frameworks/ID/tasks/ID or …/executors/ID. Who may see the sandbox may see them.
func (s *Server) addPostmortems(to map[string]attachment) {
	if s.Postmortems == nil {
		return
	}
	for _, p := range s.Postmortems() {
		entry := attachment{p.Dir, auth.Question{Action: auth.AccessSandbox, Object: auth.Of(p.User)}}
		name := "/executors/" + p.Executor
		if p.Task != "" {
			name = "/tasks/" + p.Task
		}
		to[postmortemRoot+"containers/"+p.Container] = entry
		to[postmortemRoot+"frameworks/"+p.Framework+name] = entry
	}
}

// attachments is the virtual file tree: each sandbox by its host path and by its Mesos
// name, and the log.
func (s *Server) attachments(ctx context.Context) map[string]attachment {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out := map[string]attachment{}
	snapshot, err := s.Backend.Snapshot(ctx)
	if err != nil {
		return out
	}
	for _, list := range [][]core.FrameworkView{snapshot.Completed, snapshot.Frameworks} {
		for _, f := range list {
			for _, e := range append(append([]core.ExecutorView(nil), f.Completed...), f.Executors...) {
				sandbox := attachment{e.Sandbox, auth.Question{Action: auth.AccessSandbox, Object: auth.Of(e.User)}}
				out[e.Sandbox] = sandbox
				out["/frameworks/"+string(e.Run.Key.Framework)+"/executors/"+string(e.Run.Key.Executor)+"/runs/latest"] = sandbox
				out[filepath.Join(filepath.Dir(e.Sandbox), "latest")] = sandbox
			}
		}
	}
	s.nested.mu.Lock()
	defer s.nested.mu.Unlock()
	for id, sandbox := range s.nested.made {
		if _, nested := id.Parent(); !nested {
			out[sandbox] = attachment{sandbox, auth.Question{Action: auth.AccessSandbox, Object: auth.Any}}
		}
	}
	s.addPostmortems(out)
	if s.LogFile != "" {
		out["/slave/log"] = attachment{s.LogFile, auth.Question{Action: auth.AccessMesosLog, Object: auth.Any}}
	}
	return out
}
