package devcluster

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Config says what to start. Zero values are filled by Start.
type Config struct {
	// StateDir holds everything that is written. Images, logs and apps in it are
	// there again at the next start.
	StateDir string
	// Fresh empties StateDir first.
	Fresh bool
	// Agents is how many agents to start; 1 by default.
	Agents int
	// IP is the address to listen on; 127.0.0.1 by default.
	IP string
	// MasterPort is 5050 by default; AgentPort, that of the first agent, 5051;
	// MarathonPort 8080. AnyPort takes free ones instead.
	MasterPort, AgentPort, MarathonPort int
	AnyPort                             bool
	// Resources of each agent, in Mesos's syntax; by default what the machine has,
	// divided by the number of agents.
	Resources string
	// DockerConfig, DockerMirrors and InsecureRegistries are the agents' options.
	DockerConfig, DockerMirrors string
	InsecureRegistries          []string
	// Launcher is native (default) or oci.
	Launcher string
	// Launcher process: the binary and arguments that run the launcher role; by
	// default this program.
	Binary string
	Log    *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.StateDir == "" {
		c.StateDir = DefaultStateDir()
	}
	dir, err := filepath.Abs(c.StateDir)
	if err != nil {
		return c, fmt.Errorf("state directory %s: %w", c.StateDir, err)
	}
	c.StateDir = dir
	if c.Agents == 0 {
		c.Agents = 1
	}
	if c.Agents < 0 || c.Agents > 100 {
		return c, fmt.Errorf("%d agents: between 1 and 100 fit on one machine", c.Agents)
	}
	if c.IP == "" {
		c.IP = "127.0.0.1"
	}
	if !c.AnyPort {
		orPort(&c.MasterPort, 5050)
		orPort(&c.AgentPort, 5051)
		orPort(&c.MarathonPort, 8080)
	}
	if c.Launcher == "" {
		c.Launcher = "native"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func orPort(port *int, value int) {
	if *port == 0 {
		*port = value
	}
}

// DefaultStateDir is /var/lib/agora for root, and the user's own state directory
// otherwise.
func DefaultStateDir() string {
	if os.Getuid() == 0 && os.Getenv(rootlessMark) == "" {
		return "/var/lib/agora"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "agora")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "state", "agora")
}

// agentPort is the port of agent i; 0 takes a free one.
func (c Config) agentPort(i int) int {
	if c.AnyPort {
		return 0
	}
	return c.AgentPort + i
}

// agentResources is the share of one agent, in Mesos's syntax. Each agent offers ports
// of its own: they share the machine's. The first has those that people like to name.
func (c Config) agentResources(i int) string {
	if c.Resources != "" {
		return c.Resources
	}
	cpus := float64(runtime.NumCPU()) / float64(c.Agents)
	mem := memoryMiB() / c.Agents
	first, width, named := 31000, 1001/c.Agents, ""
	if i == 0 {
		named = "8000-8079,8081-9999," // 8080 is the orchestrator's
	}
	return fmt.Sprintf("cpus:%s;mem:%d;disk:%d;ports:[%s%d-%d]", strconv.FormatFloat(max(cpus, 0.5), 'f', -1, 64),
		max(mem, 128), max(diskMiB(c.StateDir)/c.Agents, 128), named, first+i*width, first+(i+1)*width-1)
}

// memoryMiB is what the machine has, less 1 GiB or half of it for itself.
func memoryMiB() int {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 1024
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "MemTotal:" {
			continue
		}
		kib, err := strconv.Atoi(fields[1])
		if err != nil {
			return 1024
		}
		return less(kib/1024, 1024)
	}
	return 1024
}

// less keeps reserve, or half if that is smaller, out of total.
func less(total, reserve int) int { return max(total-reserve, total/2) }

// portFree says whether addr can be listened on, with a line for a person if not.
func portFree(what, ip string, port int) error {
	if port == 0 {
		return nil
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("%s cannot listen on %s:%d: %w; end what uses the port, or choose another with --%s-port",
			what, ip, port, cause(err), what)
	}
	return listener.Close()
}

// cause is the innermost error: the text of the system call alone.
func cause(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || inner.Unwrap() == nil {
			return err
		}
		err = inner.Unwrap()
	}
}

// ImagesDir is the image store below the state directory.
const ImagesDir = "images"
