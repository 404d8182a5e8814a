package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/client/scheduler"
	"agora.dev/agora/client/simagents"
	"agora.dev/agora/master"
	"agora.dev/agora/resources"
)

// simulation is what agora simulate is told.
type simulation struct {
	agents, tasks, frameworks int
	resources, attributes     string
	latency, lifetime         time.Duration
	inProcess                 bool
	port                      int
}

func (a *App) simulateCommand() *cobra.Command {
	var s simulation
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Join agents without containers to a running master",
		Long: `Join agents without containers to a running master: for capacity planning, and to try a framework
or a dashboard on a large cluster. Each agent has a link of its own and the tasks that it is told to have; a
launch is answered with TASK_RUNNING, a kill with TASK_KILLED. Agents and frameworks authenticate as the command
does (--principal, --token, --tls-cert). Ctrl-C says goodbye for all of them.`,
		Example: `  agora simulate --agents 1000 --tasks 50
  agora simulate --agents 10000 --tasks 100 --in-process`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.agents < 1 || s.tasks < 0 || s.frameworks < 1 {
				return usagef("--agents and --frameworks must be at least 1, --tasks at least 0")
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return a.simulate(ctx, s)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&s.agents, "agents", 10, "how many agents")
	flags.IntVar(&s.tasks, "tasks", 0, "how many tasks run on each of them from the start")
	flags.IntVar(&s.frameworks, "frameworks", 1, "how many frameworks own these tasks, in turn")
	flags.StringVar(&s.resources, "resources", "", "what each agent offers (default cpus:32;mem:131072;disk:1048576;ports:[31000-32000])")
	flags.StringVar(&s.attributes, "attributes", "", "attributes of each agent, as rack:a;ssd:true")
	flags.DurationVar(&s.latency, "latency", 0, "time from a launch to TASK_RUNNING")
	flags.DurationVar(&s.lifetime, "lifetime", 0, "how long a launched task runs; 0: until it is killed")
	flags.BoolVar(&s.inProcess, "in-process", false, "start a master in this process, and join without sockets")
	flags.IntVar(&s.port, "port", 5050, "port of the master with --in-process")
	return cmd
}

func (a *App) simulate(ctx context.Context, s simulation) error {
	// Goodbye is said after the interrupt.
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	cfg := simagents.Config{Agents: s.agents, Tasks: s.tasks, Latency: s.latency, Lifetime: s.lifetime, Info: &mesos.AgentInfo{}}
	var err error
	if s.resources != "" {
		parsed, err := resources.Parse(s.resources, "*")
		if err != nil {
			return usagef("--resources=%s: %v", s.resources, err)
		}
		cfg.Info.Resources = parsed.Proto()
	}
	if cfg.Info.Attributes, err = resources.ParseAttributes(s.attributes); err != nil {
		return usagef("--attributes=%s: %v", s.attributes, err)
	}
	address, principal := a.masterAddr(), a.security.principal
	frameworks, dialer := a.schedulerConfig(address), a.security.dialer()
	cfg.Dial = func(ctx context.Context, _ int) (*agentlink.Stream, error) { return dialer.Dial(ctx, address) }
	if s.inProcess {
		m, ended, err := startMemoryMaster(living, s.port)
		if err != nil {
			return err
		}
		defer func() { end(); <-ended }()
		address, principal = m.Addr(), ""
		frameworks = scheduler.Config{Masters: []string{address}}
		cfg.Dial = func(context.Context, int) (*agentlink.Stream, error) { return m.Dial(), nil }
	}
	owners, err := simagents.Own(living, frameworks, principal, s.frameworks)
	if err != nil {
		return err
	}
	defer owners.Teardown()
	cfg.Frameworks = owners.Infos
	return a.showFleet(ctx, cfg, address)
}

// showFleet joins the agents, says how that went, and waits for the interrupt.
func (a *App) showFleet(ctx context.Context, cfg simagents.Config, address string) error {
	began := time.Now()
	fleet, err := simagents.Join(ctx, cfg)
	if err != nil {
		return err
	}
	defer fleet.Close()
	took := time.Since(began)
	if err := a.print(table{Columns: []string{"MASTER", "AGENTS", "TASKS", "JOINED IN", "AGENTS/S"},
		Rows: [][]string{{address, strconv.Itoa(cfg.Agents), strconv.Itoa(cfg.Agents * cfg.Tasks), took.Round(time.Millisecond).String(),
			strconv.Itoa(int(float64(cfg.Agents) / took.Seconds()))}}}); err != nil {
		return err
	}
	fmt.Fprintln(a.Err, "\nCtrl-C says goodbye for all of them.")
	<-ctx.Done()
	return nil
}

// startMemoryMaster runs a master on loopback that keeps nothing.
func startMemoryMaster(ctx context.Context, port int) (*master.Master, <-chan error, error) {
	config := master.NewConfig()
	config.Port = port
	m, err := master.New(config, master.Deps{})
	if err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	return m, ended, nil
}
