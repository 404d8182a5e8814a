package master

import (
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/internal/legacy"
)

// Values of --registry.
const (
	replicatedLog = "replicated_log"
	inMemory      = "in_memory"
)

// mesosFlags defines further options of Mesos's master, most of which have no effect here, or cannot be kept.
func (c *Config) mesosFlags(s *flags.Set) {
	legacy.Flags(s)
	s.String(&c.Registry, "registry", "Where the registry is: replicated_log, which is the store in --work_dir, or in_memory.")
	s.Fixed("allocator", "there is one; --role_sorter and --framework_sorter change it", "HierarchicalDRF", "hierarchical")
	s.Fixed("authenticators", "there is no v0 authentication; see --http_authenticators", "crammd5")
	s.Fixed("authentication_v0_timeout", "there is no v0 authentication")
	s.FixedBool("log_auto_initialize", "the store initialises itself")
	s.FixedBool("registry_strict", "what is written is always in the registry first")
	for _, name := range []string{"offer_constraints_re2_max_mem", "offer_constraints_re2_max_program_size"} {
		s.Fixed(name, "regular expressions take linear time and memory; the bound is fixed")
	}
	s.Fixed("quorum", "the store of the registry knows its own quorum")
	s.Fixed("webui_dir", "no files of pages are read")
	for _, name := range []string{"modules", "modules_dir", "master_contender"} {
		s.Refused(name, legacy.Libraries)
	}
	s.Alias("user_sorter", "role_sorter")
}

// Persistent says whether the registry is on disk.
func (c *Config) Persistent() bool { return c.WorkDir != "" && c.Registry != inMemory }
