package agent

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"agora.dev/agora/auth/access"
	"agora.dev/agora/internal/endpoint"
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/internal/journal"
)

// Config are the options of an agent, under the names of Mesos.
type Config struct {
	Master   string
	IP       string
	Port     int
	Hostname string
	// Told says what others are told of IP, Port and Hostname.
	Told       endpoint.Options
	WorkDir    string
	RuntimeDir string
	Resources  string
	Attributes string
	// Domain is the agent's fault domain, as JSON of DomainInfo; empty: where the master is.
	Domain string

	Launcher   string
	OCIRuntime string
	ImageStore string
	ContainerizerOptions
	ImageOptions
	IsolatorOptions
	NetworkOptions
	VolumeOptions
	LoggerOptions
	SystemdOptions
	OversubscriptionOptions
	MesosOptions
	ModuleOptions

	Recover string
	// ReconfigurationPolicy is equal or additive.
	ReconfigurationPolicy string
	Strict                bool

	ExecutorRegistrationTimeout   time.Duration
	ExecutorReregistrationTimeout time.Duration
	ExecutorShutdownGracePeriod   time.Duration
	RecoveryTimeout               time.Duration
	RegistrationBackoffFactor     time.Duration
	GCDelay                       time.Duration
	GCDiskHeadroom                float64 // 0 to 1
	DiskWatchInterval             time.Duration
	HTTPHeartbeatInterval         time.Duration

	ExecutorEnvironmentVariables string
	AuthenticateHTTPExecutors    bool
	// Access says who may do what with this agent's API; its TLS is also how the agent reaches the master.
	Access access.Options
	// Credential is the file of the name and secret that the agent shows the master.
	Credential            string
	SwitchUser            bool
	SandboxDirectory      string
	MaxCompletedExecutors int
	DefaultRole           string
	// Journal is the agent's log.
	Journal  journal.Options
	Insecure bool
	Version  string
	// Shown are the options as /flags lists them.
	Shown map[string]string
}

// standardSandbox is where containers with an image see their sandbox.
const standardSandbox = "/mnt/mesos/sandbox"

// defaultIP is where an agent listens that was told nothing.
const defaultIP = "127.0.0.1"

// Default are the options that a Mesos agent has when none is given.
func Default() Config {
	return Config{
		Port: 5051, IP: defaultIP, Launcher: "native", Recover: "reconnect", ReconfigurationPolicy: "equal", Strict: true,
		ExecutorRegistrationTimeout: time.Minute, ExecutorReregistrationTimeout: 2 * time.Second,
		ExecutorShutdownGracePeriod: 5 * time.Second, RecoveryTimeout: 15 * time.Minute,
		RegistrationBackoffFactor: time.Second, GCDelay: 7 * 24 * time.Hour, GCDiskHeadroom: 0.1, DiskWatchInterval: time.Minute, HTTPHeartbeatInterval: 30 * time.Second,
		AuthenticateHTTPExecutors: true, SwitchUser: os.Geteuid() == 0, SandboxDirectory: standardSandbox,
		ContainerizerOptions: defaultContainerizers(), LoggerOptions: defaultLogger(), SystemdOptions: defaultSystemd(), ImageOptions: defaultImages(), IsolatorOptions: defaultIsolators(), NetworkOptions: defaultNetworks(),
		OversubscriptionOptions: defaultOversubscription(), MaxCompletedExecutors: 150, DefaultRole: "*",
		Version: "1.11.0", Access: access.Default(), Told: endpoint.Default(),
	}
}

// Flags binds the options to flags with Mesos's names.
func (c *Config) Flags(set *flags.Set) {
	set.String(&c.Master, "master", "HOST:PORT of a master; several are separated by commas")
	set.String(&c.IP, "ip", "address to listen on")
	set.Int(&c.Port, "port", "port to listen on")
	c.Told.Flags(set)
	set.String(&c.Hostname, "hostname", "name of this agent; default: the machine's")
	set.Path(&c.WorkDir, "work_dir", "directory of everything that the agent keeps")
	set.Path(&c.RuntimeDir, "runtime_dir", "directory of what need not survive a reboot; default: runtime in the work directory")
	set.String(&c.Resources, "resources", "resources to offer, as cpus:2;mem:1024 or JSON; what is not named is detected")
	set.String(&c.Attributes, "attributes", "attributes, as rack:r1;zone:z1")
	set.String(&c.Domain, "domain", `fault domain, as {"fault_domain":{"region":{"name":"r"},"zone":{"name":"z"}}}`)
	set.String(&c.Launcher, "launcher", "native, or oci for an installed runtime (linux and posix mean native)")
	set.String(&c.OCIRuntime, "oci_runtime", "the runtime of --launcher=oci: runc, crun, or a path")
	c.containerizerFlags(set)
	c.imageFlags(set)
	c.isolatorFlags(set)
	c.networkFlags(set)
	c.volumeFlags(set)
	c.loggerFlags(set)
	c.systemdFlags(set)
	c.oversubscriptionFlags(set)
	c.mesosFlags(set)
	c.moduleFlags(set)
	c.Journal.Flags(set)
	set.Path(&c.ImageStore, "docker_store_dir", "directory of the image store")
	set.String(&c.Recover, "recover", "reconnect, or cleanup to end everything that an earlier agent left")
	set.String(&c.ReconfigurationPolicy, "reconfiguration_policy",
		"equal: a restarted agent is as before; additive: it may have more resources and attributes, and a domain")
	set.Bool(&c.Strict, "strict", "refuse to start when a checkpoint cannot be read")
	set.Duration(&c.ExecutorRegistrationTimeout, "executor_registration_timeout", "time for an executor to subscribe")
	set.Duration(&c.ExecutorReregistrationTimeout, "executor_reregistration_timeout", "time for an executor to return to a restarted agent")
	set.Duration(&c.ExecutorShutdownGracePeriod, "executor_shutdown_grace_period", "time for an executor to shut down")
	set.Duration(&c.RecoveryTimeout, "recovery_timeout", "time for which containers wait for a new agent")
	set.Duration(&c.RegistrationBackoffFactor, "registration_backoff_factor", "first delay between attempts to register")
	set.Duration(&c.GCDelay, "gc_delay", "time for which sandboxes are kept on an empty disk; a fuller one keeps them for gc_delay * (1 - gc_disk_headroom - usage)")
	set.Float(&c.GCDiskHeadroom, "gc_disk_headroom", "part of the disk of the work directory that sandboxes leave free, 0 to 1")
	set.Duration(&c.DiskWatchInterval, "disk_watch_interval", "time between two looks at that disk, and for sandboxes to be removed")
	set.Duration(&c.HTTPHeartbeatInterval, "http_heartbeat_interval", "time between heartbeats of streaming calls")
	set.String(&c.ExecutorEnvironmentVariables, "executor_environment_variables", "JSON object of variables for every executor")
	set.Bool(&c.AuthenticateHTTPExecutors, "authenticate_http_executors", "executors need their credential")
	set.Path(&c.Credential, "credential", "file with the principal and secret that the master is shown")
	c.accessFlags(set)
	set.Bool(&c.SwitchUser, "switch_user", "run tasks as their framework's user")
	set.String(&c.SandboxDirectory, "sandbox_directory", "where containers with an image see their sandbox")
	set.Int(&c.MaxCompletedExecutors, "max_completed_executors_per_framework", "how many ended executors are listed")
	set.String(&c.DefaultRole, "default_role", "role of resources that name none")
	set.Bool(&c.Insecure, "insecure", "listen on other addresses than loopback without authentication")
}

// Check completes and verifies the options. It may be called again.
func (c *Config) Check() error {
	if err := c.applyModules(); err != nil {
		return err
	}
	switch c.Launcher {
	case "", "linux", "posix":
		c.Launcher = "native"
	case "native", "oci":
	default:
		return fmt.Errorf("--launcher=%s is unknown: use native or oci", c.Launcher)
	}
	if c.Recover != "reconnect" && c.Recover != "cleanup" {
		return fmt.Errorf("--recover=%s is unknown: use reconnect or cleanup", c.Recover)
	}
	if c.ReconfigurationPolicy != "" && c.ReconfigurationPolicy != "equal" && c.ReconfigurationPolicy != "additive" {
		return fmt.Errorf("--reconfiguration_policy=%s is unknown: use equal or additive", c.ReconfigurationPolicy)
	}
	if _, err := parseResources(c.Resources, c.DefaultRole); err != nil {
		return fmt.Errorf("--resources: %w", err)
	}
	if c.WorkDir == "" {
		return errors.New("--work_dir is missing: name a directory that survives a reboot")
	}
	if !(c.GCDiskHeadroom >= 0 && c.GCDiskHeadroom <= 1) {
		return fmt.Errorf("--gc_disk_headroom=%g is not from 0 to 1", c.GCDiskHeadroom)
	}
	c.SandboxDirectory = cmp.Or(c.SandboxDirectory, standardSandbox)
	if dir := c.SandboxDirectory; !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || dir == "/" {
		return fmt.Errorf("--sandbox_directory=%s: give an absolute path, as /mnt/mesos/sandbox", dir)
	}
	if c.DiskWatchInterval <= 0 {
		return fmt.Errorf("--disk_watch_interval=%s must be positive", c.DiskWatchInterval)
	}
	work, err := filepath.Abs(c.WorkDir)
	if err != nil {
		return err
	}
	c.WorkDir = work
	if c.Port < 0 || c.Port > 65535 {
		return fmt.Errorf("--port=%d is not a port", c.Port)
	}
	ip, err := c.Told.Listen(c.IP, defaultIP)
	if err != nil {
		return err
	}
	c.IP, c.Told.Discovery = ip.String(), ""
	if err := c.checkAccess(ip); err != nil {
		return err
	}
	if err := c.checkContainerizers(); err != nil {
		return err
	}
	if err := c.checkImages(); err != nil {
		return err
	}
	if err := c.checkNetworks(); err != nil {
		return err
	}
	if err := errors.Join(c.checkVolumes(), c.checkLogger(), c.checkSystemd(), c.checkOversubscription(), c.checkMesos()); err != nil {
		return err
	}
	if c.Hostname == "" {
		if c.Hostname, err = c.Told.Hostname(ip); err != nil {
			return err
		}
	}
	return c.checkIsolators()
}

// advertised are the address and the port that others are told.
func (c *Config) advertised() (ip string, port int) {
	return c.Told.Advertised(net.ParseIP(c.IP), c.Port)
}

func (c *Config) address() string { return net.JoinHostPort(c.IP, strconv.Itoa(c.Port)) }
