package linux

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/native"
	"agora.dev/agora/agent/launcher/template"
	"agora.dev/agora/agent/sandboxes"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// SandboxInImage is where a container with an image sees its sandbox, if the operator says nothing (Mesos flag
// --sandbox_directory).
const SandboxInImage = "/mnt/mesos/sandbox"

// prepare describes the container to the launcher.
func (c *Containerizer) prepare(ctx context.Context, b *box, spec containerizer.Spec, root *RootFS) (launcher.Request, error) {
	out := launcher.Request{ID: string(spec.ID), Pause: spec.Command == nil,
		Stdout: filepath.Join(spec.Sandbox, "stdout"), Stderr: filepath.Join(spec.Sandbox, "stderr")}
	if err := makeOutput(spec.Sandbox); err != nil {
		return out, err
	}
	if err := c.allocateUsers(b, spec); err != nil {
		return out, err
	}
	oci := template.Spec("/")
	out.Spec = oci
	sandbox := spec.Sandbox
	if root != nil && !out.Pause {
		sandbox = c.config.SandboxDirectory
		b.SandboxIn = sandbox
		var err error
		if oci.Root.Path, out.Overlay, err = c.makeRoot(ctx, b, root.Layers); err != nil {
			return out, err
		}
		if c.networkOf(spec.ID) == nil {
			oci.Mounts = append(oci.Mounts, hostFiles()...)
		}
		box := sandboxMount(sandbox, spec.Sandbox)
		mapOwners(b, &box)
		oci.Mounts = append(oci.Mounts, box)
	} else {
		root = nil
		oci.Mounts = []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}}}
		oci.Linux.MaskedPaths, oci.Linux.ReadonlyPaths = nil, nil
		if !out.Pause {
			if err := ownSandbox(b, oci, sandbox); err != nil {
				return out, err
			}
		}
	}
	b.Disk = storage{Sandbox: spec.Sandbox, Volumes: spec.Persistent}
	if err := b.Disk.keep(spec.Resources); err != nil {
		return out, err
	}
	var err error
	if b.Output, err = c.config.Output.For(spec.Variable); err != nil {
		return out, err
	}
	if err := c.namespaces(b, oci, spec); err != nil {
		return out, err
	}
	c.join(oci, &spec)
	if err := c.enterUsers(b, oci, out.Overlay); err != nil {
		return out, err
	}
	c.cgroup(b, oci, spec)
	if err := c.classify(b, oci); err != nil {
		return out, err
	}
	p := placing{spec: spec, root: root, sandbox: sandbox}
	if err := c.giveGPUs(b, oci, p); err != nil {
		return out, err
	}
	if err := c.volumes(ctx, b, oci, p); err != nil {
		return out, err
	}
	if err := c.giveProjects(ctx, b, spec); err != nil {
		return out, err
	}
	if out.Pause {
		oci.Process = nil
		return out, nil
	}
	if err := c.process(oci, spec, root, sandbox); err != nil {
		return out, err
	}
	oci.Process.User.AdditionalGids = append(oci.Process.User.AdditionalGids, b.groups...)
	return out, checkUsers(b, oci.Process)
}

// sandboxMount is the mount of a sandbox, which is looked up from the directory above that is the agent's own.
func sandboxMount(destination, sandbox string) specs.Mount {
	m := specs.Mount{Destination: destination, Source: sandbox, Type: "bind", Options: []string{"rbind", "nosuid", "nodev"}}
	if base, below := sandboxes.Split(sandbox); below != "." {
		m.Source, m.Options = below, append(m.Options, native.Within+base)
	}
	return m
}

// makeOutput makes the files of the container's output, owned like the sandbox.
func makeOutput(sandbox string) error {
	dir, err := sandboxes.Open(sandbox)
	if err != nil {
		return err
	}
	defer dir.Close()
	info, err := dir.Stat(".")
	if err != nil {
		return err
	}
	for _, name := range []string{"stdout", "stderr"} {
		f, err := dir.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		f.Close()
		if err := chownLike(dir, name, info); err != nil {
			return err
		}
	}
	return nil
}

// process fills the part of the specification that is about the command.
func (c *Containerizer) process(oci *specs.Spec, spec containerizer.Spec, root *RootFS, sandbox string) (err error) {
	p := oci.Process
	if p.Args, err = arguments(spec.Command, root); err != nil {
		return err
	}
	if p.Env, err = environment(spec, root, sandbox); err != nil {
		return err
	}
	p.Cwd = sandbox
	if root != nil && root.Config.WorkingDir != "" {
		p.Cwd = root.Config.WorkingDir
	}
	if p.User, err = user(spec, root); err != nil {
		return err
	}
	p.NoNewPrivileges = !c.config.AllowNewPrivileges
	info := spec.Container.GetLinuxInfo()
	if p.Capabilities, err = c.config.Isolation.Capabilities.Sets(info, p.User.UID == 0); err != nil {
		return err
	}
	if p.Rlimits, err = rlimits(spec.Container.GetRlimitInfo()); err != nil {
		return err
	}
	if tty := spec.Container.GetTtyInfo(); tty != nil {
		p.Terminal = true
		if size := tty.GetWindowSize(); size != nil {
			p.ConsoleSize = &specs.Box{Height: uint(size.GetRows()), Width: uint(size.GetColumns())}
		}
	}
	oci.Linux.Seccomp, err = c.config.Isolation.Seccomp.For(info.GetSeccomp(), p.Capabilities.Bounding)
	c.keepProjects(oci.Linux.Seccomp)
	return err
}

var errNoCommand = errors.New("neither the command nor the image names a program")
