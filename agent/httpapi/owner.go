package httpapi

import (
	"slices"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/auth"
)

// owner is the executor that a container belongs to.
type owner struct {
	known    bool
	executor core.ExecutorView
	root     containerizer.ID
	// user is that of the container, or of the nearest one around it, which a task has.
	user string
}

// ownerOf finds the executor whose container id is or is in, whether it is still there or not.
func ownerOf(snapshot *core.Snapshot, id containerizer.ID) owner {
	o := owner{root: id.Root()}
	each(snapshot, func(_ core.FrameworkView, e core.ExecutorView, _ bool) {
		if e.Run.Container == o.root && !o.known {
			o.known, o.executor, o.user = true, e, e.User
		}
	})
	for at, nested := id, true; nested; at, nested = at.Parent() {
		for _, c := range o.executor.Containers {
			if c.ID == at {
				o.user = c.User
				return o
			}
		}
	}
	return o
}

// questions lists what has to be allowed. Of a container that no executor has, all objects are asked
// about, which nobody's executor may touch.
func (o *owner) questions(access callAccess, user string) []auth.Question {
	if !o.known {
		return []auth.Question{{Action: access.standalone, Object: auth.Any}}
	}
	inside := func(user string) auth.Object { return auth.Of(user).Inside(string(o.root)) }
	out := []auth.Question{{Action: access.nested, Object: inside(o.executor.User)}}
	if o.user != o.executor.User {
		out = append(out, auth.Question{Action: access.nested, Object: inside(o.user)})
	}
	if access.as != auth.None {
		out = append(out, auth.Question{Action: access.as, Object: inside(user)})
	}
	return out
}

// mayRunAs says whether the executor itself may start a command as a user: it must not become somebody
// whom the framework was not let run tasks as.
func (o *owner) mayRunAs(user string) bool {
	if user == o.executor.User || o.executor.User == "" || o.executor.User == "root" {
		return true
	}
	return slices.Contains(o.executor.Users, user)
}
