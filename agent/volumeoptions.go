package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"agora.dev/agora/agent/isolators/volumegids"
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/resources"
)

// VolumeOptions are the options of volumes and secrets; the one that Mesos has is under
// its name.
type VolumeOptions struct {
	HostPathAllow  string // directories, separated by colons
	HostPathCreate string // likewise
	SecretsDir     string
	// VolumeGIDRange is as [10000-20000]; empty for none.
	VolumeGIDRange string
}

func (c *Config) volumeFlags(set *flags.Set) {
	set.String(&c.HostPathAllow, "host_path_volume_allow", "directories that volumes of the host may come from, separated by colons; default: all")
	set.String(&c.HostPathCreate, "host_path_volume_force_creation", "directories below which a missing host path of a volume is made, separated by colons")
	set.String(&c.VolumeGIDRange, "volume_gid_range", "ids of groups for volumes that tasks of users other than root share, as [10000-20000]: a task's "+
		"SANDBOX_PATH volumes of type PARENT, and shared persistent volumes; nobody else may use them; default: no groups")
	set.String(&c.SecretsDir, "secrets_dir", "directory whose files are the secrets that tasks refer to, as NAME or NAME/KEY")
}

func (c *Config) checkVolumes() error {
	for flag, list := range map[string]string{"host_path_volume_allow": c.HostPathAllow, "host_path_volume_force_creation": c.HostPathCreate} {
		for _, dir := range filepath.SplitList(list) {
			if !filepath.IsAbs(dir) {
				return fmt.Errorf("--%s: %q is not an absolute path", flag, dir)
			}
		}
	}
	if _, err := c.VolumeGIDs(); err != nil {
		return err
	}
	if c.SecretsDir == "" {
		return nil
	}
	dir, err := filepath.Abs(c.SecretsDir)
	if err != nil {
		return err
	}
	c.SecretsDir = dir
	return nil
}

// VolumeGIDs reads the option about groups of volumes; nil for none.
func (c *Config) VolumeGIDs() (resources.Ranges, error) {
	if c.VolumeGIDRange == "" {
		return nil, nil
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("--volume_gid_range: an agent that does not run as root cannot give volumes to groups; leave it out")
	}
	out, err := volumegids.ParseRange(c.VolumeGIDRange)
	if err != nil {
		return nil, fmt.Errorf("--volume_gid_range: %w", err)
	}
	return out, nil
}

// Directories splits an option that lists some.
func Directories(list string) (out []string) {
	for _, dir := range filepath.SplitList(list) {
		out = append(out, filepath.Clean(dir))
	}
	return out
}
