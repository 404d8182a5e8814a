package agent

import (
	"fmt"
	"path/filepath"

	"agora.dev/agora/internal/flags"
)

// VolumeOptions are the options of volumes and secrets; the one that Mesos has is under
// its name.
type VolumeOptions struct {
	HostPathAllow  string // directories, separated by colons
	HostPathCreate string // likewise
	SecretsDir     string
}

func (c *Config) volumeFlags(set *flags.Set) {
	set.String(&c.HostPathAllow, "host_path_volume_allow", "directories that volumes of the host may come from, separated by colons; default: all")
	set.String(&c.HostPathCreate, "host_path_volume_force_creation", "directories below which a missing host path of a volume is made, separated by colons")
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

// Directories splits an option that lists some.
func Directories(list string) (out []string) {
	for _, dir := range filepath.SplitList(list) {
		out = append(out, filepath.Clean(dir))
	}
	return out
}
