package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/launcher/native"
	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hostFiles are what a container in the host's network needs of the host.
func hostFiles() (out []specs.Mount) {
	for _, file := range []string{"/etc/resolv.conf", "/etc/hosts", "/etc/hostname"} {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			out = append(out, specs.Mount{Destination: file, Source: file, Type: "bind", Options: []string{"bind", "ro", "nosuid", "nodev", "noexec"}})
		}
	}
	return out
}

// volumes adds a mount for each volume. A path relative to the sandbox is resolved
// inside it, whatever links the task put there.
func volumes(oci *specs.Spec, spec containerizer.Spec, sandbox string) error {
	if err := persistent(oci, spec, sandbox); err != nil {
		return err
	}
	for _, v := range spec.Container.GetVolumes() {
		m := specs.Mount{Destination: v.GetContainerPath(), Type: "bind", Options: []string{"rbind", "nosuid", "nodev"}}
		if err := destination(&m, oci, spec, sandbox); err != nil {
			return fmt.Errorf("volume %q: %w", m.Destination, err)
		}
		if v.GetMode() == mesos.Volume_RO {
			m.Options = append(m.Options, "ro")
		}
		if err := source(&m, v, spec); err != nil {
			return fmt.Errorf("volume %q: %w", v.GetContainerPath(), err)
		}
		oci.Mounts = append(oci.Mounts, m)
	}
	return nil
}

// destination makes the place of a mount. One relative to the sandbox stays inside it.
func destination(m *specs.Mount, oci *specs.Spec, spec containerizer.Spec, sandbox string) error {
	if filepath.IsAbs(m.Destination) {
		return nil
	}
	if !filepath.IsLocal(m.Destination) {
		return errors.New("its path leaves the sandbox")
	}
	if oci.Root.Path == "/" {
		if err := makeInside(spec.Sandbox, m.Destination); err != nil {
			return err
		}
	}
	m.Destination = filepath.Join(sandbox, m.Destination)
	return nil
}

func source(m *specs.Mount, v *mesos.Volume, spec containerizer.Spec) error {
	host, base := v.GetHostPath(), spec.Sandbox
	switch s := v.GetSource(); s.GetType() {
	case mesos.Volume_Source_HOST_PATH:
		host = s.GetHostPath().GetPath()
	case mesos.Volume_Source_SANDBOX_PATH:
		host = s.GetSandboxPath().GetPath()
		if filepath.IsAbs(host) {
			return fmt.Errorf("sandbox path %q must be relative", host)
		}
		if s.GetSandboxPath().GetType() == mesos.Volume_Source_SandboxPath_PARENT {
			if base = parentSandbox(spec); base == "" {
				return fmt.Errorf("a volume from the parent needs a nested container")
			}
			base, host = inherited(m, spec, base, host)
		}
	default:
		if s != nil {
			return fmt.Errorf("source %s is not supported by this agent", s.GetType())
		}
		if v.GetImage() != nil {
			return fmt.Errorf("image volumes are not supported by this agent")
		}
	}
	if host == "" {
		return fmt.Errorf("it has no source")
	}
	if filepath.IsAbs(host) {
		m.Source = host
		if _, err := os.Stat(host); err != nil {
			return err
		}
		return nil
	}
	if !filepath.IsLocal(host) {
		return fmt.Errorf("path %q leaves the sandbox", host)
	}
	if err := makeInside(base, host); err != nil {
		return err
	}
	m.Source = host
	m.Options = append(m.Options, native.Within+base)
	return nil
}

// parentSandbox: the agent lays nested sandboxes out as <parent>/containers/<id>.
func parentSandbox(spec containerizer.Spec) string {
	dir, _, ok := strings.Cut(spec.Sandbox, "/containers/")
	if _, nested := spec.ID.Parent(); !nested || !ok {
		return ""
	}
	if at := strings.LastIndex(spec.Sandbox, "/containers/"); at >= 0 {
		dir = spec.Sandbox[:at]
	}
	return dir
}

// makeInside makes a directory that is missing below base.
func makeInside(base, path string) error {
	root, err := os.OpenRoot(base)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.Stat(path); err == nil {
		return nil
	}
	if err := root.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if info, err := os.Stat(base); err == nil {
		return chownLike(root, path, info)
	}
	return nil
}
