package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/native"
	"agora.dev/agora/agent/sandboxes"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// users is what a container in a user namespace needs of its scene. The runtime makes the
// namespace, or joins it, and needs to know nothing of id-mapped mounts, which runc has since
// 1.2 and crun for some mounts: the scene makes them. Nor may the root of the container come near the
// launcher's directory, below which everything is: so the scene shows it in a place of its own.
type users struct {
	mappings []specs.LinuxIDMapping
	first    uint32 // id on the machine of the container's root
	// network is the path of the network namespace, which stays the machine's: the runtime
	// works in it. Empty for that of the launcher.
	network string
	sysctls map[string]string // of the network
	// ownNetwork is set when the runtime makes a network.
	ownNetwork bool
	dir        string // the launcher's
	closed     string // the first directory on the way to dir that strangers cannot pass
	runtime    string // its program
	root       string // where the container's root is shown
	// mounts are made in the scene, in their order; late ones are shown in places of their
	// own, since the runtime has to mount below them first.
	mounts []taken
	output [2]string // the files of the command's output
}

// taken is a mount whose source is taken before the launcher's directory is hidden.
type taken struct {
	inner
	mapped bool
	// layers are those of an overlay, and at is where it is mounted first.
	layers []string
	at     string
	// kind and data are those of a file system of the kernel's.
	kind, data string
	place      string // for a late one
}

// usersOf reads the user namespace of a specification; nil for a container in the machine's.
func usersOf(spec *specs.Spec) (*users, error) {
	own, err := launcher.UserNamespaceOf(spec)
	if own == nil || err != nil {
		return nil, err
	}
	return &users{mappings: own.Mappings, first: own.First()}, nil
}

// own takes from a specification what the scene does for a container in a user namespace; dir is the
// container's own directory.
func (u *users) own(l *Launcher, dir string, spec *specs.Spec, host bool, output [2]string) error {
	u.dir, u.runtime, u.root, u.output = l.dir, l.runtime, filepath.Join(l.dir, "root"), output
	var err error
	if u.closed, err = sandboxes.ClosedAbove(filepath.Join(l.dir, "root")); err == nil && u.closed == "" {
		err = fmt.Errorf("the launcher's directory %s is open to strangers", l.dir)
	}
	if err != nil {
		return err
	}
	// Who enters the container later needs the name, and nothing in it.
	if err := os.Mkdir(u.root, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	spec.Root.Path = u.root
	u.takeNetwork(spec)
	if host { // which tells the runtime that there is a /dev already
		spec.Mounts = append([]specs.Mount{{Destination: "/dev", Source: "/dev", Type: "bind", Options: []string{"rbind"}}}, spec.Mounts...)
	}
	var rest []specs.Mount
	for i, m := range spec.Mounts {
		late := !host && belowKernels(spec.Mounts, i) || host && strings.HasPrefix(path.Clean(m.Destination)+"/", "/dev/")
		onTop := !host && stacked(spec.Mounts, i)
		if late && onTop { // its place would be looked for among files of others
			return fmt.Errorf("mount %s on %s: a volume on top of another one below %s needs --launcher=native", m.Source, m.Destination, path.Dir(m.Destination))
		}
		if !u.takes(m, (host || onTop) && !late) {
			rest = append(rest, m)
			continue
		}
		t, err := u.take(m, dir)
		if err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.Source, m.Destination, err)
		}
		if late {
			t.place = filepath.Join(u.dir, fmt.Sprintf("mount%d", i))
			rest = append(rest, specs.Mount{Destination: m.Destination, Source: t.place, Type: "bind", Options: plain(m.Options)})
		}
		u.mounts = append(u.mounts, t)
	}
	spec.Mounts = rest
	return nil
}

// takeNetwork keeps the network namespace the machine's, and its parameters the scene's.
func (u *users) takeNetwork(spec *specs.Spec) {
	for i, n := range spec.Linux.Namespaces {
		if n.Type != specs.NetworkNamespace {
			continue
		}
		if u.ownNetwork = n.Path == ""; u.ownNetwork {
			return
		}
		u.network = n.Path
		spec.Linux.Namespaces = slices.Delete(spec.Linux.Namespaces, i, i+1)
		u.sysctls = maps.Clone(spec.Linux.Sysctl)
		maps.DeleteFunc(u.sysctls, func(name, _ string) bool { return !strings.HasPrefix(name, "net.") })
		maps.DeleteFunc(spec.Linux.Sysctl, func(name, _ string) bool { return strings.HasPrefix(name, "net.") })
		return
	}
}

// takes tells whether the scene makes a mount: those with a source on the machine, and
// sysfs, which shows the network and so belongs to whom that belongs. Those of memory are the
// runtime's, unless their places are among files of others.
func (u *users) takes(m specs.Mount, memory bool) bool {
	switch m.Type {
	case "bind", "overlay":
		return true
	case "sysfs":
		return !u.ownNetwork
	case "tmpfs":
		return memory
	}
	return false
}

// take reads a mount; dir is the container's own directory.
func (u *users) take(m specs.Mount, dir string) (taken, error) {
	t := taken{mapped: len(m.UIDMappings) > 0}
	base, inside := u.root, ""
	for _, option := range m.Options {
		if option == "rshared" {
			return t, errors.New("propagation to the host is not possible from a user namespace")
		}
		if from, ok := strings.CutPrefix(option, native.Inside); ok {
			inside = from
		}
	}
	switch m.Type {
	case "sysfs", "tmpfs":
		t.kind, t.inner = m.Type, inner{base: base, destination: m.Destination, dir: true}
		var data []string
		for _, option := range m.Options {
			if flag := attributes[option]; flag != 0 {
				t.attributes |= flag
			} else {
				data = append(data, native.ShiftID(option, u.first))
			}
		}
		t.data = strings.Join(data, ",")
		return t, nil
	}
	var err error
	if t.inner, err = newInner(m, base); err != nil {
		return t, err
	}
	t.inside = inside
	if lower, ok := strings.CutPrefix(strings.Split(t.overlay, ",")[0], "lowerdir="); ok {
		t.layers = strings.Split(lower, ":")
		t.at = filepath.Join(dir, fmt.Sprintf("overlay%d", len(u.mounts)))
		err = os.Mkdir(t.at, 0o700)
	}
	return t, err
}

// belowKernels tells whether a mount is below one that the runtime makes.
func belowKernels(all []specs.Mount, index int) bool {
	return slices.ContainsFunc(all, func(other specs.Mount) bool {
		return !slices.Contains([]string{"bind", "overlay", "sysfs"}, other.Type) &&
			strings.HasPrefix(path.Clean(all[index].Destination), strings.TrimSuffix(path.Clean(other.Destination), "/")+"/")
	})
}

// plain are the options that a runtime knows.
func plain(options []string) (out []string) {
	for _, o := range options {
		if attributes[o] != 0 || propagations[o] != 0 {
			out = append(out, o)
		}
	}
	return append(out, "rbind")
}

// giveTerminal makes the command's user the owner of its terminal, in a user namespace.
func giveTerminal(first uint32, files [3]*os.File, p *specs.Process) error {
	if first == 0 || p == nil || !p.Terminal {
		return nil
	}
	return files[0].Chown(int(first+p.User.UID), int(first+5))
}

// CheckUsers asks a runtime whether it makes user namespaces. One that does not tell what it
// can do is taken to.
func CheckUsers(ctx context.Context, runtime string) error {
	out, err := exec.CommandContext(ctx, runtime, "features").Output()
	var features struct {
		Linux struct{ Namespaces []string }
	}
	if err != nil || json.Unmarshal(out, &features) != nil || len(features.Linux.Namespaces) == 0 {
		return nil
	}
	if slices.Contains(features.Linux.Namespaces, string(specs.UserNamespace)) {
		return nil
	}
	version, _ := exec.CommandContext(ctx, runtime, "--version").Output()
	name, _, _ := strings.Cut(string(version), "\n")
	return fmt.Errorf("--userns_range: OCI runtime %s (%s) makes no user namespaces, only %s; use runc, crun, or --launcher=native",
		runtime, name, strings.Join(features.Linux.Namespaces, ", "))
}
