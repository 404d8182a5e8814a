package containerizer

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// State is where a container is in its life.
type State int

// The states in their order. A container may be destroyed in each of them.
const (
	Provisioning State = iota
	Preparing
	Fetching
	Launching
	Running
	Destroying
	Ended
)

var stateNames = [...]string{"PROVISIONING", "PREPARING", "FETCHING", "LAUNCHING", "RUNNING", "DESTROYING", "ENDED"}

func (s State) String() string { return stateNames[s] }

// Lives is the life cycle of all containers of one agent. It is pure: the owner
// does what the answers say, and tells what came of it. Not for concurrent use.
type Lives struct {
	states   map[ID]State
	children map[ID]map[ID]bool
}

// NewLives returns an agent without containers.
func NewLives() *Lives {
	return &Lives{states: map[ID]State{}, children: map[ID]map[ID]bool{}}
}

// Begin enters a container in PROVISIONING, or, adopted, in RUNNING. A nested one
// needs a parent that is running.
func (l *Lives) Begin(id ID, adopted bool) error {
	if _, exists := l.states[id]; exists {
		return fmt.Errorf("container %s already exists", id)
	}
	if parent, nested := id.Parent(); nested {
		state, exists := l.states[parent]
		switch {
		case !exists:
			return fmt.Errorf("parent container %s does not exist", parent)
		case state != Running && !adopted:
			return fmt.Errorf("parent container %s is in %s state", parent, state)
		}
		if l.children[parent] == nil {
			l.children[parent] = map[ID]bool{}
		}
		l.children[parent][id] = true
	}
	l.states[id] = Provisioning
	if adopted {
		l.states[id] = Running
	}
	return nil
}

// Advance moves a container to the next stage of its launch. It refuses when the
// container is being destroyed, and the launch must then be given up.
func (l *Lives) Advance(id ID, to State) error {
	from, exists := l.states[id]
	switch {
	case !exists:
		return fmt.Errorf("container %s does not exist", id)
	case from >= Destroying:
		return fmt.Errorf("container %s is being destroyed", id)
	case to <= from || to > Running:
		return fmt.Errorf("container %s cannot go from %s to %s", id, from, to)
	}
	l.states[id] = to
	return nil
}

// Destroy puts a container and everything nested in it into DESTROYING and returns
// them in the order in which they must end: children first. An unknown or ended
// container gives none.
func (l *Lives) Destroy(id ID) []ID {
	state, exists := l.states[id]
	if !exists || state == Ended {
		return nil
	}
	var out []ID
	for _, child := range l.Children(id) {
		out = append(out, l.Destroy(child)...)
	}
	l.states[id] = Destroying
	return append(out, id)
}

// End marks a container as ended and returns the children that must be destroyed
// because their parent is gone.
func (l *Lives) End(id ID) (orphans []ID) {
	if _, exists := l.states[id]; !exists {
		return nil
	}
	for _, child := range l.Children(id) {
		orphans = append(orphans, l.Destroy(child)...)
	}
	l.states[id] = Ended
	return orphans
}

// Forget drops an ended container.
func (l *Lives) Forget(id ID) {
	delete(l.states, id)
	delete(l.children, id)
	if parent, nested := id.Parent(); nested {
		delete(l.children[parent], id)
	}
}

// State returns where a container is; ok is false for an unknown one.
func (l *Lives) State(id ID) (state State, ok bool) {
	state, ok = l.states[id]
	return state, ok
}

// Children returns the containers directly nested in id, sorted.
func (l *Lives) Children(id ID) []ID {
	return slices.Sorted(maps.Keys(l.children[id]))
}

// Await waits until done is closed. That it was counts also when ctx is over.
func Await(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-done:
		return nil
	default:
		return ctx.Err()
	}
}
