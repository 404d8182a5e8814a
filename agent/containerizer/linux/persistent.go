package linux

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"agora.dev/agora/agent/containerizer"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// persistent adds a mount for each persistent volume. The mount is the container's own: the
// sandbox on the host holds an empty directory, so that nobody who removes a sandbox comes near the data.
func (p placing) persistent(ctx context.Context, oci *specs.Spec) error {
	for _, v := range p.spec.Persistent {
		m := specs.Mount{Type: "bind", Source: v.Source, Options: []string{"rbind", "nosuid", "nodev"}}
		if err := p.destination(&m, v.ContainerPath, oci.Root.Path == "/"); err != nil {
			return fmt.Errorf("persistent volume %s at %q: %w", v.ID, v.ContainerPath, err)
		}
		if v.ReadOnly {
			m.Options = append(m.Options, "ro")
		}
		if v.Shared {
			if err := p.share(ctx, v.Source, ".", ""); err != nil {
				return fmt.Errorf("persistent volume %s at %q: %w", v.ID, v.ContainerPath, err)
			}
		}
		mapOwners(p.b, &m)
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
