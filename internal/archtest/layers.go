package archtest

import (
	"fmt"
	"slices"
)

// Layer says what a part of the tree may import of the rest.
type Layer struct {
	// Dirs are patterns of folders. The first layer that fits a folder holds.
	Dirs []string
	// May are patterns of the folders that they may import.
	May    []string
	Reason string
}

// wire is what everything above the contract may use.
var wire = []string{"api/...", "resources/...", "internal/..."}

// below is what the shells of a component stand on.
var below = append(slices.Clone(wire), "auth/...", "client/...", "election/...", "kv/...")

func with(base []string, more ...string) []string { return append(slices.Clone(base), more...) }

// Layers is the direction of imports: downwards only.
var Layers = []Layer{
	{[]string{"api/..."}, []string{"api/..."},
		"the contract has no behaviour and knows nobody"},
	{[]string{"internal/..."}, []string{"internal/..."},
		"plumbing without domain words is a leaf: whoever needs it must not inherit a component"},
	{[]string{"resources/..."}, []string{"api/...", "resources/...", "internal/planted"},
		"the algebra stands on the messages alone"},
	{[]string{"kv/..."}, []string{"kv/...", "internal/..."},
		"a store keeps bytes; what they mean is the business of its user"},
	{[]string{"election/..."}, []string{"api/...", "election/...", "kv/...", "internal/..."},
		"an election needs a store, and says who leads in messages"},
	{[]string{"auth"}, []string{"api/...", "resources"},
		"a decision is a value of principal, action and object, so that cores can ask for it"},
	{[]string{"auth/..."}, []string{"api/...", "auth/...", "kv/...", "internal/..."},
		"identities and decisions are the same for every component"},
	{[]string{"client/..."}, with(wire, "client/..."),
		"a client is what a stranger's program uses: it must not drag a component along"},

	{[]string{"master/core"}, []string{"api/...", "auth", "resources", "master/registry", "master/validation", "internal/planted"},
		"the core decides; allocator, edge and store reach it as events"},
	{[]string{"master/allocator"}, []string{"api/...", "resources", "master/core", "internal/planted"},
		"the allocator takes the core's commands, and is driven by nobody else"},
	{[]string{"master/validation"}, []string{"api/...", "resources", "master/validation"},
		"a check sees the call and what it is given, nothing more"},
	{[]string{"master/registry"}, []string{"api/...", "resources", "internal/planted"},
		"operations on the registry are values; their store is below"},
	{[]string{"master/..."}, with(below, "master/..."),
		"the master's shells reach agents and stores by contract, and never another component"},

	{[]string{"agent/containerizer"}, []string{"api/...", "resources"},
		"the contract between the agent and whatever runs containers"},
	{[]string{"agent/statusupdates"}, []string{"api/...", "internal/planted"},
		"streams of updates know no tasks, executors or disks"},
	{[]string{"agent/core"}, []string{"api/...", "resources", "agent/containerizer", "agent/statusupdates", "executor", "executor/command", "executor/taskgroup", "executor/checks", "internal/planted"},
		"the core decides; containers, disk and master reach it as events"},
	{[]string{"agent/oversubscription"}, []string{"api/...", "resources", "agent/containerizer", "agent/core"},
		"estimates and corrections are values of what was measured"},
	{[]string{"agent/launcher/shim/..."}, nil,
		"the shim runs before anything else is initialised, in every container"},
	{[]string{"agent/..."}, with(below, "agent/...", "executor/..."),
		"the agent's shells run the built-in executors, and reach the master over the link only"},

	{[]string{"executor", "executor/command", "executor/taskgroup", "executor/checks"}, []string{"api/...", "resources", "executor", "executor/checks", "internal/planted"},
		"the same cores run inside the agent, in a process and in the simulation"},
	{[]string{"executor/..."}, with(wire, "client/...", "executor/..."),
		"a process of an executor speaks the API like a stranger's"},

	{pureOrchestrator, with(pureOrchestrator, "api/...", "resources", "internal/planted"),
		"decisions about apps are values, apart from who stores and serves them"},
	{[]string{"orchestrator/..."}, with(below, "orchestrator/..."),
		"the orchestrator is a framework like any other: it reaches the master through client/"},

	{[]string{"sim/..."}, with(wire, "sim/...", "master/core", "master/allocator", "master/validation", "master/registry", "agent/core", "agent/statusupdates",
		"agent/checkpoint", "agent/containerizer", "executor", "executor/command", "executor/taskgroup", "executor/checks",
		"orchestrator/core", "orchestrator/group", "orchestrator/deployment", "orchestrator/launchqueue", "orchestrator/matcher", "orchestrator/instance", "orchestrator/taskinfo"),
		"the simulated world runs the real cores, and no shell: a shell has a clock and sockets of its own"},
	{[]string{"devcluster/..."}, with(below, "devcluster/...", "master/...", "agent/...", "executor/...", "orchestrator/...", "ui/..."),
		"a whole cluster on one machine wires every component"},
	{[]string{"ui/..."}, []string{"ui/...", "internal/..."},
		"the web app is files"},
	{[]string{"cli/..."}, with(below, "cli/...", "devcluster", "sim", "master", "agent", "agent/assembly", "orchestrator", "agent/launcher/...", "agent/images/...", "executor/...", "ui/..."),
		"commands use client/; those that are a role of the cluster call that role's wiring, not its insides"},
	{[]string{"cmd/...", "test/...", "examples/..."}, []string{"agent/...", "api/...", "auth/...", "cli/...", "client/...", "devcluster/...", "election/...", "executor/...", "internal/...", "kv/...", "master/...", "orchestrator/...", "resources/...", "sim/...", "test/...", "ui/..."},
		"programs and tests of the whole may use the whole"},
}

var pureOrchestrator = []string{"orchestrator/core", "orchestrator/group", "orchestrator/deployment", "orchestrator/launchqueue", "orchestrator/matcher", "orchestrator/instance", "orchestrator/taskinfo", "orchestrator/health"}

// LayerOf finds the layer of a folder.
func LayerOf(dir string) (Layer, bool) {
	for _, layer := range Layers {
		if matchesAny(layer.Dirs, dir) {
			return layer, true
		}
	}
	return Layer{}, false
}

// CheckLayers lists the imports that go upwards or sideways, tests apart: those may use the whole
// tree.
func (t *Tree) CheckLayers() []string {
	var out []string
	unknown := map[string]bool{}
	for _, f := range t.Files {
		if f.Test {
			continue
		}
		layer, ok := LayerOf(f.Dir())
		if !ok {
			if !unknown[f.Dir()] {
				out = append(out, fmt.Sprintf("%s: no layer; add a row to Layers, with its reason", f.Dir()))
			}
			unknown[f.Dir()] = true
			continue
		}
		for _, name := range f.Imports() {
			if len(name) < 2 || name[:2] != "./" {
				continue
			}
			if dir := name[2:]; !matchesAny(layer.May, dir) {
				out = append(out, fmt.Sprintf("%s: imports %s: %s", f.Path, dir, layer.Reason))
			}
		}
	}
	return out
}
