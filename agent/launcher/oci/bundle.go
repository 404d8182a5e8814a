package oci

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/seccomp"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/native"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// bundle writes what the runtime reads and returns the scene it works in. The
// specification stays as it is but for what the launcher does by itself: root, groups,
// terminal, and the init that starts the command.
func (l *Launcher) bundle(c *container, request launcher.Request) (scene, error) {
	s := scene{hidden: l.hidden, overlay: request.Overlay}
	spec, err := clone(request.Spec)
	if err != nil {
		return s, err
	}
	if spec.Version == "" || spec.Version > "1.0.2" {
		spec.Version = "1.0.2" // the oldest that has all we use, for old runtimes
	}
	if spec.Root == nil || spec.Root.Path == "/" {
		s.host, s.root = true, filepath.Join(c.dir, "root")
		if err := os.Mkdir(s.root, 0o700); err != nil {
			return s, err
		}
		readonly := spec.Root != nil && spec.Root.Readonly
		spec.Root = &specs.Root{Path: s.root, Readonly: readonly}
	}
	s.root = spec.Root.Path
	if s.users, err = usersOf(spec); err != nil {
		return s, err
	}
	if s.users != nil {
		err = s.users.own(l, c.dir, spec, s.host, outputOf(request))
	} else {
		s.inner, spec.Mounts, err = innerMounts(spec.Mounts, s.base())
	}
	if err != nil {
		return s, err
	}
	if s.host && len(spec.Mounts) == 0 { // crun wants one
		spec.Mounts = []specs.Mount{{Destination: "/proc", Source: "/proc", Type: "bind", Options: []string{"rbind"}}}
	}
	if request.Pause {
		spec.Process = &specs.Process{Cwd: "/"}
	}
	spec.Process.Args, spec.Process.Terminal, spec.Process.ConsoleSize = initArgs, false, nil
	spec.Process.Env = nil                  // it may hold secrets, and this is written down; the init has it
	spec.Linux.RootfsPropagation = "rslave" // crun makes all private else, volumes that propagate too
	spec.Linux.CgroupsPath = c.place.path
	spec.Linux.Seccomp = seccomp.Unordered(spec.Linux.Seccomp)
	spec.Linux.Resources = l.runtimeResources(c, cgroups.BoundProcesses(request.Spec.Linux.Resources))
	spec.Linux.Resources.Network = nil // its group has the class; for one crun wants net_prio, too
	for i, m := range spec.Mounts {
		if slices.Contains(m.Options, "rshared") {
			return s, fmt.Errorf("mount %s on %s: propagation to the host needs --launcher=native", m.Source, m.Destination)
		}
		h, err := hold(&spec.Mounts[i], filepath.Join(c.dir, "mount"+strconv.Itoa(i)))
		if err != nil {
			return s, err
		}
		if h != nil {
			s.held = append(s.held, *h)
		}
	}
	b, err := json.Marshal(spec)
	if err != nil {
		return s, err
	}
	return s, os.WriteFile(filepath.Join(c.dir, "config.json"), b, 0o600)
}

// outputOf are the files that the command writes to; none for a terminal.
func outputOf(request launcher.Request) (files [2]string) {
	if request.Pause || request.Spec.Process.Terminal {
		return files
	}
	return [2]string{request.Stdout, request.Stderr}
}

func clone(spec *specs.Spec) (*specs.Spec, error) {
	b, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	out := &specs.Spec{}
	return out, json.Unmarshal(b, out)
}

// runtimeResources are those of the group that the runtime makes. Where the limits are on
// a group around it, so is the list of devices: the runtime's own would not follow when
// that one changes.
func (l *Launcher) runtimeResources(c *container, all *specs.LinuxResources) *specs.LinuxResources {
	switch {
	case l.hierarchy.V2 && c.place.path != "":
		return &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}}
	case c.Shared:
		return &specs.LinuxResources{Devices: all.Devices}
	}
	return all
}

// hold has a mount's source resolved inside the directory that an option names, which
// no runtime knows how to do.
func hold(m *specs.Mount, place string) (*held, error) {
	for i, option := range m.Options {
		within, ok := strings.CutPrefix(option, native.Within)
		if !ok {
			continue
		}
		h := &held{within: within, source: path.Join("/", m.Source), place: place}
		info, err := os.Stat(path.Join(within, h.source))
		if err != nil {
			return nil, fmt.Errorf("mount %s on %s: %w", m.Source, m.Destination, err)
		}
		m.Options = append(m.Options[:i:i], m.Options[i+1:]...)
		m.Source = place
		return h, h.mountPoint(info.IsDir())
	}
	return nil, nil
}
