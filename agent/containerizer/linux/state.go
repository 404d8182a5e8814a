package linux

import (
	"encoding/json"
	"os"
	"path/filepath"

	"agora.dev/agora/agent/containerlogger"
	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/resources"
)

// state is the part of a box that a later agent needs.
type state struct {
	Cgroup string
	// Shares is set for a container in the cgroups of its parent, or of the container
	// that it entered: what they say is the other's.
	Shares      bool    `json:",omitempty"`
	CPUs, MemMB float64 // requested
	LimitCPUs   float64 // 0 for none
	Debug       bool
	// Ports are the host's that it was given.
	Ports resources.Ranges `json:",omitempty"`
	// GPUs are its own, by index.
	GPUs   []int    `json:",omitempty"`
	Layers []string `json:",omitempty"` // of its image
	// SandboxIn is where a container with an image sees its sandbox; empty: SandboxInImage.
	SandboxIn string `json:",omitempty"`
	// Copies are what it has of images in place of overlays.
	Copies []copied `json:",omitempty"`
	// NetClass is the container's class of network packets; 0 for none.
	NetClass uint32 `json:",omitempty"`
	// UserFirst is the machine's id of the container's root; 0 without a user namespace. A
	// nested container has its pod's.
	UserFirst uint32 `json:",omitempty"`
	// Shm is the directory of the host that it has as /dev/shm, and that a nested container
	// can share; empty for one that nobody else reaches.
	Shm string `json:",omitempty"`
	// Disk is where it keeps files, and how much it may.
	Disk storage
	// Output is how much of what it writes is kept.
	Output containerlogger.Bounds
}

func (s state) save(dir string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "state.json"), b, 0o600)
}

// group is the container's own control group; ok is false when it has none.
func (c *Containerizer) group(s state) (g cgroups.Group, ok bool) {
	if s.Cgroup == "" || s.Shares || len(c.hierarchy.Mounts) == 0 {
		return g, false
	}
	return c.hierarchy.At(s.Cgroup), true
}
