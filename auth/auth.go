// Package auth says who somebody is and what they may do: identities, actions, and Mesos's access
// control lists.
//
// It owns the names of actions and the meaning of an ACL file. It promises that a decision depends
// on principal, action and object alone, so that cores can ask as well as edges. It refuses I/O:
// credentials, certificates and files are read by the packages below it.
package auth

// Principal is an authenticated identity. A nil *Principal is somebody who was not asked.
type Principal struct {
	// Value is the name; empty for an executor's credential, which has claims only.
	Value string
	// Claims are what a token says beside the name.
	Claims map[string]string
}

// Name is the principal's name, empty for nobody.
func (p *Principal) Name() string {
	if p == nil {
		return ""
	}
	return p.Value
}

// String is the name for people; of an executor's credential what it says of itself.
func (p *Principal) String() string {
	switch {
	case p == nil, p.Value != "":
		return p.Name()
	}
	return "executor " + p.Claims["eid"] + " of framework " + p.Claims["fid"] + " in container " + p.Claims[executorClaim]
}

// Named makes a principal of a name; an empty one gives nobody.
func Named(name string) *Principal {
	if name == "" {
		return nil
	}
	return &Principal{Value: name}
}

// Object is what an action is done to.
type Object struct {
	// value is a role, a user, a principal or a path, as the action has it; without one the
	// question is about every object.
	value string
	some  bool
	// root is the root container that the object belongs to, for an executor's credential.
	root string
}

// Any is every object of an action.
var Any = Object{}

// Of is the object with that name.
func Of(value string) Object { return Object{value: value, some: true} }

// Inside says that the object belongs to a root container.
func (o Object) Inside(root string) Object {
	o.root = root
	return o
}

// Value is the object's name, empty for every object.
func (o Object) Value() string { return o.value }

// executorClaim names the claim of an executor's credential that holds its root container.
const executorClaim = "cid"

// executorActions are what an executor may do to containers of its own without an ACL.
var executorActions = map[Action]bool{
	LaunchNestedContainer: true, LaunchNestedContainerAsUser: true, WaitNestedContainer: true, KillNestedContainer: true,
	RemoveNestedContainer: true, LaunchNestedContainerSession: true, LaunchNestedContainerSessionAsUser: true,
	AttachContainerOutput: true,
}

// ofExecutor decides for a principal that has claims and no name: an executor may touch what is
// inside its own root container. Mesos compares by prefix, which lets "a" touch "ab".
func ofExecutor(p *Principal, action Action, object Object) bool {
	own := p.Claims[executorClaim]
	return executorActions[action] && own != "" && own == object.root
}
