package linux

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"agora.dev/agora/agent/containerizer"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// persistent adds a mount for each persistent volume. The mount is the container's own: the
// sandbox on the host holds an empty directory, so that nobody who removes a sandbox comes near the data.
func persistent(oci *specs.Spec, spec containerizer.Spec, sandbox string) error {
	for _, v := range spec.Persistent {
		m := specs.Mount{Destination: v.ContainerPath, Type: "bind", Source: v.Source, Options: []string{"rbind", "nosuid", "nodev"}}
		if filepath.IsAbs(v.ContainerPath) && oci.Root.Path == "/" {
			// Without an image the mount point would be made on the machine itself.
			if _, err := os.Stat(v.ContainerPath); err != nil {
				return fmt.Errorf("persistent volume %s: without an image its absolute path must exist on the agent: %w", v.ID, err)
			}
		}
		if err := destination(&m, oci, spec, sandbox); err != nil {
			return fmt.Errorf("persistent volume %s at %q: %w", v.ID, v.ContainerPath, err)
		}
		if v.ReadOnly {
			m.Options = append(m.Options, "ro")
		}
		oci.Mounts = append(oci.Mounts, m)
	}
	return nil
}

// inherited finds a path of the parent's sandbox in the persistent volumes of the parent: what the
// parent sees at that path is not on the host.
func inherited(m *specs.Mount, spec containerizer.Spec, base, path string) (newBase, newPath string) {
	for _, v := range spec.Inherited {
		at := filepath.Clean(v.ContainerPath)
		rest, err := filepath.Rel(at, filepath.Clean(path))
		if err == nil && !filepath.IsAbs(at) && rest != ".." && !strings.HasPrefix(rest, "../") {
			if v.ReadOnly {
				m.Options = append(m.Options, "ro")
			}
			return v.Source, rest
		}
	}
	return base, path
}
