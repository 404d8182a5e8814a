package master

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/master/allocator"
)

// AllocationConfig is what the allocator is told. NewConfig has Mesos's defaults.
type AllocationConfig struct {
	// RoleSorter and FrameworkSorter are "drf" or "random".
	RoleSorter, FrameworkSorter string
	// Minimum is what is worth an offer, as cpus:0.01|mem:32 or cpus:1;mem:64; empty: anything.
	Minimum string
	// Whitelist is a file with one hostname a line: agents elsewhere are not offered. It is read again every
	// few seconds. Empty or "*": all.
	Whitelist string
	// RecoveryFactor of the registry's agents must be back, or RecoveryTimeout be over, before anything is
	// offered after an election, where there is quota.
	RecoveryFactor  float64
	RecoveryTimeout time.Duration
	// Domain is the master's fault domain, as JSON of DomainInfo. RequireDomain refuses agents that have none.
	Domain        string
	RequireDomain bool
	// MaxExecutors is how many executors of frameworks an agent may run and still be offered; zero: any number.
	MaxExecutors int

	minimum []map[string]float64
	domain  *mesos.DomainInfo
}

func newAllocationConfig() AllocationConfig {
	return AllocationConfig{RoleSorter: allocator.SortDRF, FrameworkSorter: allocator.SortDRF, Minimum: "cpus:0.01|mem:32",
		RecoveryFactor: 0.8, RecoveryTimeout: 10 * time.Minute}
}

func (c *AllocationConfig) flags(s *flags.Set) {
	s.String(&c.RoleSorter, "role_sorter", "How roles take turns: drf (the smallest share first) or random (drawn by weight).")
	s.String(&c.FrameworkSorter, "framework_sorter", "How the frameworks of a role take turns: drf or random.")
	s.String(&c.Minimum, "min_allocatable_resources", "What is worth an offer: cpus:0.01|mem:32 is either, cpus:1;mem:64 both; empty is anything.")
	s.String(&c.Whitelist, "whitelist", "File with hostnames, one a line: only agents there are offered. Read again every 5secs. * is all.")
	s.Float(&c.RecoveryFactor, "allocator_agent_recovery_factor", "Part of the known agents that must be back after an election before offers are made, where there is quota.")
	s.Duration(&c.RecoveryTimeout, "allocator_recovery_timeout", "Longest wait for them.")
	s.String(&c.Domain, "domain", `The master's fault domain: {"fault_domain":{"region":{"name":"r"},"zone":{"name":"z"}}}.`)
	s.Bool(&c.RequireDomain, "require_agent_domain", "Refuse agents without a fault domain.")
	s.Int(&c.MaxExecutors, "max_executors_per_agent", "Executors of frameworks at which an agent is offered no more; those made for tasks do not count. 0 is no bound.")
	s.Alias("max_executors_per_slave", "max_executors_per_agent")
}

// complete checks the options.
func (c *AllocationConfig) complete() (err error) {
	for name, sorter := range map[string]string{"role_sorter": c.RoleSorter, "framework_sorter": c.FrameworkSorter} {
		if sorter != "" && sorter != allocator.SortDRF && sorter != allocator.SortRandom {
			return fmt.Errorf("flag --%s: %q is neither drf nor random", name, sorter)
		}
	}
	if c.RecoveryFactor < 0 || c.RecoveryFactor > 1 {
		return fmt.Errorf("flag --allocator_agent_recovery_factor: %g is not between 0 and 1", c.RecoveryFactor)
	}
	if c.MaxExecutors < 0 {
		return fmt.Errorf("flag --max_executors_per_agent: %d is negative; 0 is no bound", c.MaxExecutors)
	}
	if c.minimum, err = parseMinimum(c.Minimum); err != nil {
		return fmt.Errorf("flag --min_allocatable_resources: %w", err)
	}
	if c.Domain != "" {
		c.domain = &mesos.DomainInfo{}
		if err := codec.UnmarshalJSON([]byte(c.Domain), c.domain); err != nil {
			return fmt.Errorf("flag --domain: %w", err)
		}
		if c.domain.GetFaultDomain().GetRegion().GetName() == "" || c.domain.GetFaultDomain().GetZone().GetName() == "" {
			return fmt.Errorf("flag --domain: fault_domain needs the names of a region and a zone")
		}
	}
	return nil
}

// parseMinimum reads sets of quantities; the result is never nil.
func parseMinimum(text string) ([]map[string]float64, error) {
	sets := []map[string]float64{}
	if strings.TrimSpace(text) == "" {
		return sets, nil
	}
	for part := range strings.SplitSeq(text, "|") {
		set := map[string]float64{}
		for one := range strings.SplitSeq(part, ";") {
			name, number, _ := strings.Cut(strings.TrimSpace(one), ":")
			amount, err := strconv.ParseFloat(number, 64)
			if err != nil || name == "" || !(amount >= 0) || amount > 1e12 {
				return nil, fmt.Errorf("%q is not name:amount", one)
			}
			set[name] = amount
		}
		sets = append(sets, set)
	}
	return sets, nil
}

// config is the allocator's view of the options.
func (c *Config) allocator() allocator.Config {
	return allocator.Config{
		Interval:          c.AllocationInterval,
		ExcludedResources: c.ExcludedResources,
		OfferGPUsToAll:    !c.FilterGPUs,
		RoleSorter:        c.Allocation.RoleSorter,
		FrameworkSorter:   c.Allocation.FrameworkSorter,
		Minimum:           c.Allocation.minimum,
		RecoveryFactor:    c.Allocation.RecoveryFactor,
		RecoveryTimeout:   c.Allocation.RecoveryTimeout,
		Region:            c.Allocation.domain.GetFaultDomain().GetRegion().GetName(),
		Seed:              uint64(time.Now().UnixNano()),
	}
}
