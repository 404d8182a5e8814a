package linux

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// temporary adds the file systems in memory that DockerInfo.parameters ask for, as docker
// run --tmpfs: PATH[:OPTION,...]. Their pages count as the container's memory.
func (p placing) temporary(oci *specs.Spec) error {
	if p.spec.Container.GetType() != mesos.ContainerInfo_DOCKER {
		return nil
	}
	for _, parameter := range p.spec.Container.GetDocker().GetParameters() {
		if parameter.GetKey() != "tmpfs" {
			return fmt.Errorf("docker parameter %q is not supported by this agent", parameter.GetKey())
		}
		m, err := temporaryMount(parameter.GetValue())
		if err != nil {
			return fmt.Errorf("docker parameter tmpfs=%s: %w", parameter.GetValue(), err)
		}
		if oci.Root.Path == "/" {
			return fmt.Errorf("docker parameter tmpfs=%s: needs an image", parameter.GetValue())
		}
		oci.Mounts = append(oci.Mounts, m)
	}
	return nil
}

var temporaryOption = regexp.MustCompile(`^(size=[0-9]+[kmgKMG%]?|mode=[0-7]{3,4}|nr_inodes=[0-9]+[kmgKMG]?|uid=[0-9]+|gid=[0-9]+)$`)

func temporaryMount(value string) (specs.Mount, error) {
	path, options, _ := strings.Cut(value, ":")
	m := specs.Mount{Destination: filepath.Clean(path), Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "noexec"}}
	if !filepath.IsAbs(path) || m.Destination == "/" || slices.Contains(strings.Split(path, "/"), "..") {
		return m, fmt.Errorf("its path must be absolute and not the root")
	}
	if options == "" {
		return m, nil
	}
	for option := range strings.SplitSeq(options, ",") {
		switch {
		case option == "exec":
			m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "noexec" })
		case option == "ro", temporaryOption.MatchString(option):
			m.Options = append(m.Options, option)
		case option == "rw", option == "noexec", option == "nosuid", option == "nodev":
		default:
			return m, fmt.Errorf("option %q is unknown", option)
		}
	}
	return m, nil
}
