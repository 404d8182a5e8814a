package master

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/auth/access"
	"agora.dev/agora/internal/endpoint"
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/internal/journal"
)

// Config is what a master is told. NewConfig has Mesos's defaults.
type Config struct {
	// IP and Port are listened on, Told says what others are told of them and of Hostname.
	IP       string
	Port     int
	Told     endpoint.Options
	Hostname string
	WorkDir  string
	Cluster  string
	// Journal is the log of this master, shown as /master/log where it is a file.
	Journal journal.Options
	// Registry is replicated_log or in_memory.
	Registry string
	// Insecure allows listening beyond loopback without authentication.
	Insecure bool
	// Access says who is let in, and to what.
	Access AccessConfig

	Roles   []string
	Weights map[string]float64
	weights string
	// ExcludedResources do not count in fair shares.
	ExcludedResources []string
	FilterGPUs        bool
	RootSubmissions   bool
	ZK                string

	Allocation AllocationConfig

	AllocationInterval     time.Duration
	OfferTimeout           time.Duration
	AgentPingTimeout       time.Duration
	MaxAgentPingTimeouts   int
	AgentReregisterTimeout time.Duration
	AgentLimits
	RegistryFetchTimeout time.Duration
	RegistryStoreTimeout time.Duration

	// FrameworkMetrics adds some sixty figures for each framework.
	FrameworkMetrics bool

	MaxCompletedFrameworks          int
	MaxCompletedTasksPerFramework   int
	MaxUnreachableTasksPerFramework int
	MaxOperatorStreams              int

	// Version is what /version says; frameworks compare it with versions of Mesos.
	Version string
	// FlagValues are shown by /flags; Flags.Values() by custom.
	FlagValues map[string]string
}

// DefaultVersion is the version of the Mesos API that this master speaks.
const DefaultVersion = "1.11.0"

// defaultIP is where a master listens that was told nothing.
const defaultIP = "127.0.0.1"

// NewConfig gives the defaults.
func NewConfig() Config {
	return Config{
		IP: defaultIP, Told: endpoint.Default(), Port: 5050, FilterGPUs: true, RootSubmissions: true, FrameworkMetrics: true,
		Allocation: newAllocationConfig(), AllocationInterval: time.Second, AgentPingTimeout: 15 * time.Second, MaxAgentPingTimeouts: 5,
		AgentReregisterTimeout: 10 * time.Minute, RegistryFetchTimeout: time.Minute, RegistryStoreTimeout: 20 * time.Second,
		MaxCompletedFrameworks: 50, MaxCompletedTasksPerFramework: 1000, MaxUnreachableTasksPerFramework: 1000,
		MaxOperatorStreams: 1000, Version: DefaultVersion, Access: AccessConfig{Options: access.Default()},
	}
}

// Flags defines the options of a master, by Mesos's names, over c.
func (c *Config) Flags() *flags.Set {
	s := flags.New("MESOS_")
	c.Access.flags(s)
	s.String(&c.IP, "ip", "Address to listen on. Beyond loopback, authentication or --insecure is needed.")
	s.Int(&c.Port, "port", "Port to listen on; 0 takes a free one.")
	c.Told.Flags(s)
	s.String(&c.Hostname, "hostname", "Name told to others; the machine's name or address if not given.")
	s.Path(&c.WorkDir, "work_dir", "Directory of the registry.")
	s.String(&c.Cluster, "cluster", "Name of the cluster, for people.")
	s.Bool(&c.Insecure, "insecure", "Listen beyond loopback without authentication.")
	s.List(&c.Roles, "roles", "Roles that frameworks may have; any if not given.")
	s.String(&c.weights, "weights", "Weights of roles: role=weight,role=weight.")
	s.List(&c.ExcludedResources, "fair_sharing_excluded_resource_names", "Resources that do not count in shares.")
	s.Bool(&c.FilterGPUs, "filter_gpu_resources", "Offer agents with GPUs only to frameworks with the capability GPU_RESOURCES.")
	s.Bool(&c.RootSubmissions, "root_submissions", "Allow frameworks of user root.")
	s.String(&c.ZK, "zk", "ZooKeeper for leader election.")
	s.Duration(&c.AllocationInterval, "allocation_interval", "How often all agents are looked at although nothing happened.")
	c.Allocation.flags(s)
	s.Bool(&c.FrameworkMetrics, "publish_per_framework_metrics", "Show figures of each framework at /metrics/snapshot.")
	s.Duration(&c.OfferTimeout, "offer_timeout", "Age at which offers are rescinded; never if not given.")
	s.Duration(&c.AgentPingTimeout, "agent_ping_timeout", "How often agents are pinged, and have to answer.")
	s.Int(&c.MaxAgentPingTimeouts, "max_agent_ping_timeouts", "Missed answers that make an agent unreachable.")
	s.Duration(&c.AgentReregisterTimeout, "agent_reregister_timeout", "Time that agents have to come back.")
	s.Duration(&c.RegistryFetchTimeout, "registry_fetch_timeout", "Time to read the registry.")
	s.Duration(&c.RegistryStoreTimeout, "registry_store_timeout", "Time for one write to the registry.")
	s.Int(&c.MaxCompletedFrameworks, "max_completed_frameworks", "Completed frameworks to remember.")
	s.Int(&c.MaxCompletedTasksPerFramework, "max_completed_tasks_per_framework", "Completed tasks to remember of each framework.")
	s.Int(&c.MaxUnreachableTasksPerFramework, "max_unreachable_tasks_per_framework", "Unreachable tasks to remember of each framework.")
	s.Int(&c.MaxOperatorStreams, "max_operator_event_stream_subscribers", "Operator streams; beyond, the oldest is closed.")
	c.AgentLimits.flags(s)
	c.Journal.Flags(s)
	c.mesosFlags(s)
	s.Alias("slave_ping_timeout", "agent_ping_timeout")
	s.Alias("max_slave_ping_timeouts", "max_agent_ping_timeouts")
	s.Alias("slave_reregister_timeout", "agent_reregister_timeout")
	return s
}

// Parse reads a command line and an environment over the defaults.
func Parse(args, environ []string) (Config, error) {
	c := NewConfig()
	set := c.Flags()
	rest, err := set.Parse(args, environ)
	if err != nil {
		return c, err
	}
	if len(rest) > 0 {
		return c, fmt.Errorf("unexpected argument %q; options begin with --", rest[0])
	}
	c.FlagValues = set.Values()
	return c, c.complete()
}

// complete checks the options and fills what depends on others.
func (c *Config) complete() error {
	ip, err := c.Told.Listen(c.IP, defaultIP)
	if err != nil {
		return err
	}
	c.IP, c.Told.Discovery = ip.String(), ""
	switch {
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("flag --port: %d is not a port", c.Port)
	case c.ZK != "":
		return errors.New("flag --zk: election through ZooKeeper is not built into this version; leave it out")
	case c.AgentReregisterTimeout < 10*time.Minute && c.FlagValues != nil:
		return errors.New("flag --agent_reregister_timeout: at least 10mins")
	}
	if c.Registry != "" && c.Registry != replicatedLog && c.Registry != inMemory {
		return fmt.Errorf("flag --registry: %q is unknown: use %s or %s", c.Registry, replicatedLog, inMemory)
	}
	if err := c.AgentLimits.complete(); err != nil {
		return err
	}
	if err := c.Allocation.complete(); err != nil {
		return err
	}
	if err := c.checkListen(ip); err != nil {
		return err
	}
	if c.Version == "" {
		c.Version = DefaultVersion
	}
	if c.Hostname == "" {
		if c.Hostname, err = c.hostname(ip); err != nil {
			return err
		}
	}
	if c.weights == "" {
		return nil
	}
	c.Weights = map[string]float64{}
	for part := range strings.SplitSeq(c.weights, ",") {
		role, text, _ := strings.Cut(part, "=")
		weight, err := strconv.ParseFloat(text, 64)
		if err != nil || weight <= 0 || role == "" {
			return fmt.Errorf("flag --weights: %q is not role=weight with a positive weight", part)
		}
		c.Weights[role] = weight
	}
	return nil
}

func (c *Config) hostname(ip net.IP) (string, error) {
	if c.Told.Lookup && ip.IsLoopback() {
		return "localhost", nil
	}
	return c.Told.Hostname(ip)
}
