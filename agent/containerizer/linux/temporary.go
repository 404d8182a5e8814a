package linux

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// parameters reads DockerInfo.parameters: file systems in memory as docker run --tmpfs has them, whose pages
// count as the container's memory, and parameters of the kernel.
func (p placing) parameters(oci *specs.Spec) error {
	if p.spec.Container.GetType() != mesos.ContainerInfo_DOCKER {
		return nil
	}
	for _, parameter := range p.spec.Container.GetDocker().GetParameters() {
		var err error
		switch parameter.GetKey() {
		case "tmpfs":
			err = temporary(oci, parameter.GetValue())
		case "sysctl":
			err = p.sysctl(oci, parameter.GetValue())
		default:
			return fmt.Errorf("docker parameter %q is not supported by this agent", parameter.GetKey())
		}
		if err != nil {
			return fmt.Errorf("docker parameter %s=%s: %w", parameter.GetKey(), parameter.GetValue(), err)
		}
	}
	return nil
}

// temporary adds a file system in memory: PATH[:OPTION,...].
func temporary(oci *specs.Spec, value string) error {
	m, err := temporaryMount(value)
	if err != nil {
		return err
	}
	if oci.Root.Path == "/" {
		return errors.New("needs an image")
	}
	oci.Mounts = append(oci.Mounts, m)
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
