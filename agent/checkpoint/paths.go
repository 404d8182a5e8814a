// Package checkpoint is the map of an agent's disk: where everything lies below the work
// directory, how it is written and how it is found again. The layout is that of Mesos
// (docs/agent-recovery.md).
//
// It promises that a process that dies at any write leaves what a new one can read:
// each file is old or new, a half-written record is dropped, and nothing is half removed.
// What must survive loss of power too (the agent's identity, its reservations, a drain)
// is synced. It refuses to decide what is written: that is agent/core.
package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
)

// latest is the link to the newest agent or run.
const latest = "latest"

// Paths says where things are.
type Paths struct {
	// Work is --work_dir.
	Work string
}

// name makes an identifier fit for a directory. Identifiers have no slash and are not
// "." or ".."; very long ones are shortened.
func name(id string) string {
	if len(id) <= 200 {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return strings.ToValidUTF8(id[:120], "_") + "~" + hex.EncodeToString(sum[:16])
}

// Sandbox is the sandbox of a run's own container, or of one nested in it.
func (p Paths) Sandbox(agent string, run core.Run, id containerizer.ID) string {
	dir := filepath.Join(p.runOf(filepath.Join(p.Work, "slaves", name(agent)), run))
	rest, nested := strings.CutPrefix(string(id), string(run.Container)+".")
	if !nested {
		return dir
	}
	for _, value := range strings.Split(rest, ".") {
		dir = filepath.Join(dir, "containers", name(value))
	}
	return dir
}

// TaskLink is where a task of a pod finds its sandbox by its ID.
func (p Paths) TaskLink(agent string, run core.Run, task core.TaskID) string {
	return filepath.Join(p.Sandbox(agent, run, run.Container), "tasks", name(string(task)))
}

// Runs is the directory of the runs of an executor's sandboxes, with the link to the
// latest.
func (p Paths) Runs(agent string, key core.ExecutorKey) string {
	return filepath.Join(p.Work, "slaves", name(agent), "frameworks", name(string(key.Framework)),
		"executors", name(string(key.Executor)), "runs")
}

// Secret is the key that signs the credentials of executors.
func (p Paths) Secret() string { return filepath.Join(p.Work, "meta", "executor.key") }

// VolumeGIDs is the record of the groups of shared volumes.
func (p Paths) VolumeGIDs() string { return filepath.Join(p.Work, "meta", "volume_gids.json") }

// Runtime is the place of what needs not survive a reboot: the launcher's socket and
// records.
func (p Paths) Runtime() string { return filepath.Join(p.Work, "runtime") }

// Images is the image store.
func (p Paths) Images() string { return filepath.Join(p.Work, "store") }

// Standalone holds the sandboxes of containers that an operator launched; the presence of
// one is what a restarted agent knows of it.
func (p Paths) Standalone() string { return filepath.Join(p.Work, "containers") }

// BlackBox keeps what is known of ended runs.
func (p Paths) BlackBox() string { return filepath.Join(p.Work, "blackbox") }

// Removed holds records that count no more, until they are deleted.
func (p Paths) Removed() string { return filepath.Join(p.meta(), "removed") }

// Lock is held by the agent that owns the work directory.
func (p Paths) Lock() string { return filepath.Join(p.Work, "lock") }

// Agents holds a directory for each id that the agent of this work directory has had.
func (p Paths) Agents() string { return p.slaves() }

// Agent is the directory of one of them.
func (p Paths) Agent(id string) string { return p.agent(id) }

func (p Paths) meta() string      { return filepath.Join(p.Work, "meta") }
func (p Paths) bootID() string    { return filepath.Join(p.meta(), "boot_id") }
func (p Paths) resources() string { return filepath.Join(p.meta(), "resources", "resources.info") }
func (p Paths) slaves() string    { return filepath.Join(p.meta(), "slaves") }
func (p Paths) agent(id string) string {
	return filepath.Join(p.slaves(), name(id))
}

func (p Paths) agentInfo(agent string) string { return filepath.Join(p.agent(agent), "slave.info") }
func (p Paths) drain(agent string) string     { return filepath.Join(p.agent(agent), "drain.config") }
func (p Paths) framework(agent string, id core.FrameworkID) string {
	return filepath.Join(p.agent(agent), "frameworks", name(string(id)))
}

func (p Paths) frameworkInfo(agent string, id core.FrameworkID) string {
	return filepath.Join(p.framework(agent, id), "framework.info")
}

func (p Paths) executor(agent string, key core.ExecutorKey) string {
	return filepath.Join(p.framework(agent, key.Framework), "executors", name(string(key.Executor)))
}

func (p Paths) run(agent string, run core.Run) string { return p.runOf(p.agent(agent), run) }

func (p Paths) runOf(agent string, run core.Run) string {
	return filepath.Join(agent, "frameworks", name(string(run.Key.Framework)),
		"executors", name(string(run.Key.Executor)), "runs", name(string(run.Container)))
}

func (p Paths) completed(agent string) string { return filepath.Join(p.agent(agent), "completed") }

func (p Paths) completedInfo(agent string, id containerizer.ID) string {
	return filepath.Join(p.completed(agent), name(string(id))+".info")
}

func (p Paths) task(agent string, run core.Run, task core.TaskID) string {
	return filepath.Join(p.run(agent, run), "tasks", name(string(task)))
}

// Files of a run and of a task.
const (
	fileExecutorInfo  = "executor.info" // beside runs/
	fileKind          = "executor.kind" // present: the run exists
	fileExecutorState = "executor.state"
	fileSentinel      = "executor.sentinel" // present: the run has ended
	fileCause         = "executor.cause"    // why the agent ends it
	fileCompleted     = "tasks.completed"   // what is listed of tasks that have been
	fileTaskInfo      = "task.info"         // present: the task exists
	fileUpdates       = "task.updates"
)
