package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"agora.dev/agora/agent"
	"agora.dev/agora/agent/assembly"
	"agora.dev/agora/devcluster"
	"agora.dev/agora/internal/autogroup"
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/internal/journal"
	"agora.dev/agora/kv/etcdkv"
	"agora.dev/agora/master"
)

// addRoles adds what a machine of the cluster runs.
func (a *App) addRoles(root *cobra.Command) {
	a.add(root, "role", a.devCommand, a.masterCommand, a.agentCommand, a.orchestratorCommand)
	root.AddCommand(a.launcherCommand())
}

// oomScore is for processes whose end would take others along: the kernel looks for memory elsewhere first. It is not
// the least there is, which would exempt them.
const oomScore = "-999"

// spareFromOOM makes this process, and the launcher that it starts, the last to be killed when the machine runs out of memory;
// containers get their own score. Without the right to do so nothing changes.
func spareFromOOM() { _ = os.WriteFile("/proc/self/oom_score_adj", []byte(oomScore), 0) }

// goBeforeOthers is what the daemons do whose answers others wait for: they are the last to be killed, and among the first to
// have a processor.
func goBeforeOthers() {
	spareFromOOM()
	autogroup.Raise()
}

// terminating are the signals that end a role in good order.
var terminating = []os.Signal{os.Interrupt, syscall.SIGTERM}

func (a *App) masterCommand() *cobra.Command {
	config := master.NewConfig()
	set := config.Flags()
	return a.roleCommand(role{
		use: "master", short: "Run a master",
		example: "  agora master --ip=10.0.0.1 --work_dir=/var/lib/agora/master --insecure",
		flags:   set, journal: &config.Journal,
		run: func(ctx context.Context, log *journal.Log) error {
			goBeforeOthers()
			ctx, stop := signal.NotifyContext(ctx, terminating...)
			defer stop()
			config.FlagValues = set.Values()
			return runMaster(ctx, config, log)
		},
	})
}

// runMaster runs a master whose registry is in an embedded etcd below its work directory.
func runMaster(ctx context.Context, config master.Config, log *journal.Log) error {
	deps := master.Deps{Log: log.Logger, LogLevel: log.Level}
	if config.Persistent() {
		store, err := etcdkv.OpenEmbedded(ctx, etcdkv.EmbeddedConfig{Dir: filepath.Join(config.WorkDir, "registry")})
		if err != nil {
			return err
		}
		defer store.Close()
		deps.Store = store
	}
	m, err := master.New(config, deps)
	if err != nil {
		return usageOr(err)
	}
	if err := m.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// usageOr makes a refused option a wrong command line; a port in use is none.
func usageOr(err error) error {
	if strings.Contains(err.Error(), "in use") || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EACCES) {
		return err
	}
	return usagef("%v", err)
}

func (a *App) agentCommand() *cobra.Command {
	config := agent.Default()
	set := flags.New("MESOS_")
	config.Flags(set)
	return a.roleCommand(role{
		use: "agent", short: "Run an agent",
		example: "  agora agent --master=10.0.0.1:5050 --work_dir=/var/lib/agora/agent --resources='cpus:8;mem:16384' --insecure",
		flags:   set, journal: &config.Journal,
		run: func(ctx context.Context, log *journal.Log) error {
			goBeforeOthers()
			config.Shown = set.Values()
			return runAgent(ctx, config, log.Logger)
		},
	})
}

// runAgent runs an agent until SIGTERM, which leaves its containers to the next agent, or
// SIGUSR1, which ends them and tells the master goodbye, as in Mesos.
func runAgent(ctx context.Context, config agent.Config, log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(ctx, terminating...)
	defer stop()
	if err := config.Check(); err != nil {
		return usagef("%v", err)
	}
	stack, err := assembly.New(ctx, config, log)
	if err != nil {
		return err
	}
	ag, err := agent.New(config, agent.Deps{Containerizer: stack.Containerizer, Images: stack.Images, Figures: stack.Figures, Timers: stack.Timers, Pulls: stack.Store.Pulls, Waits: stack.Waits, Peak: stack.Peak, Log: log})
	if err != nil {
		if left := stack.Abandon(); left != nil {
			log.Warn("launcher not ended", "error", left)
		}
		return usageOr(err)
	}
	defer stack.Close()
	farewell := make(chan os.Signal, 1)
	signal.Notify(farewell, syscall.SIGUSR1)
	defer signal.Stop(farewell)
	ended := make(chan error, 1)
	go func() { ended <- ag.Run(ctx) }()
	select {
	case err = <-ended:
	case <-farewell:
		err = ag.Shutdown(ctx)
		if runErr := <-ended; err == nil {
			err = runErr
		}
		err = errors.Join(err, stack.Stop())
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (a *App) launcherCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "launcher",
		Short:              "Run the parent of an agent's containers; the agent starts it by itself",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if code := assembly.Launcher(args); code != 0 {
				return quietExit(code)
			}
			return nil
		},
	}
}

func (a *App) devCommand() *cobra.Command {
	var config devcluster.Config
	var demo bool
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Start a whole cluster on this machine",
		Long: `Start master, orchestrator and agents on loopback, in one process. Ctrl-C ends it and
leaves nothing behind but the state directory, where images, logs and apps wait for the next run.`,
		Example: "  agora dev --demo\n  agora dev --agents 3 --fresh",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.dev(cmd.Context(), config, demo)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&demo, "demo", false, "run three instances of builtin/demo on it")
	flags.BoolVar(&config.Fresh, "fresh", false, "empty the state directory first")
	flags.IntVar(&config.Agents, "agents", 1, "how many agents")
	flags.StringVar(&config.DockerConfig, "docker_config", "", "Docker's config.json with logins of registries, or the file that holds it")
	flags.StringVar(&config.DockerMirrors, "docker_mirrors", "", "registries that are asked before others, as docker.io=mirror.example:5000")
	flags.StringSliceVar(&config.InsecureRegistries, "docker_insecure_registries", nil, "registries that may be asked by plain http or without a valid certificate")
	flags.StringVar(&config.StateDir, "state-dir", "", "where everything is kept (default "+devcluster.DefaultStateDir()+")")
	flags.IntVar(&config.MasterPort, "master-port", 5050, "port of the master")
	flags.IntVar(&config.AgentPort, "agent-port", 5051, "port of the first agent; the others follow")
	flags.IntVar(&config.MarathonPort, "marathon-port", 8080, "port of the orchestrator")
	flags.StringVar(&config.Resources, "resources", "", "what each agent offers, as cpus:2;mem:1024 (default: what the machine has, divided)")
	flags.StringVar(&config.Launcher, "launcher", "native", "native, or oci for an installed runc or crun")
	return cmd
}

func (a *App) dev(ctx context.Context, config devcluster.Config, demo bool) error {
	if os.Getuid() != 0 {
		code, err := devcluster.Reenter(func(missing string) {
			fmt.Fprintln(a.Err, "agora: not root: running in a user namespace, with "+missing)
		})
		if err != nil {
			return err
		}
		return quietExit(code)
	}
	if err := devcluster.AwaitMapping(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, terminating...)
	defer stop()
	file, log, err := devLog(config.StateDir, config.Fresh)
	if err != nil {
		return err
	}
	defer file.Close()
	config.Log = log
	cluster, err := devcluster.Start(ctx, config)
	if err != nil {
		return err
	}
	if demo {
		if err := a.startDemo(ctx, cluster); err != nil {
			cluster.Stop()
			return err
		}
	}
	a.welcome(cluster, demo, file.Name())
	err = cluster.Wait(ctx)
	stop()
	fmt.Fprintln(a.Out, "\nending tasks ...")
	if stopErr := cluster.Stop(); err == nil {
		err = stopErr
	}
	return err
}

// devLog opens the log of the cluster, a file: the terminal is for people.
func devLog(state string, fresh bool) (*os.File, *slog.Logger, error) {
	if state == "" {
		state = devcluster.DefaultStateDir()
	}
	if fresh {
		if err := devcluster.Clear(state); err != nil {
			return nil, nil, err
		}
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return nil, nil, fmt.Errorf("state directory: %w; choose another with --state-dir", err)
	}
	file, err := os.OpenFile(filepath.Join(state, "agora.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, nil, fmt.Errorf("log: %w", err)
	}
	return file, slog.New(slog.NewTextHandler(file, nil)), nil
}

// startDemo gives the demo to the orchestrator.
func (a *App) startDemo(ctx context.Context, cluster *devcluster.Cluster) error {
	demo := *a
	demo.master, demo.marathon = cluster.MasterAddr(), cluster.MarathonAddr()
	demo.Out = discard{}
	o := runOptions{Name: "demo", Image: "builtin/demo", Instances: 3, CPUs: 0.1, MemMiB: 32, Ports: []publish{{}}}
	return demo.runDetached(ctx, o)
}

type discard struct{}

func (discard) Write(data []byte) (int, error) { return len(data), nil }

// welcome tells what runs where, and what to do next.
func (a *App) welcome(cluster *devcluster.Cluster, demo bool, log string) {
	fmt.Fprintf(a.Out, "Agora is up.\n\n  master        http://%s\n  orchestrator  http://%s\n", cluster.MasterAddr(), cluster.MarathonAddr())
	for _, ag := range cluster.Agents() {
		fmt.Fprintf(a.Out, "  %-12s  http://%s\n", ag.Hostname, ag.Addr)
	}
	fmt.Fprintf(a.Out, "  state         %s\n  log           %s\n", cluster.StateDir(), log)
	if missing := cluster.Missing(); missing != "" {
		fmt.Fprintf(a.Out, "  degraded      %s\n", missing)
	}
	if demo {
		fmt.Fprintf(a.Out, "  demo          /demo, three instances of builtin/demo\n")
	}
	self := "agora"
	if cluster.MasterAddr() != "127.0.0.1:5050" {
		self = "agora --master " + cluster.MasterAddr()
	}
	fmt.Fprintf(a.Out, "\nIn another terminal:\n\n  %s ps\n  %s run builtin/shell -- echo hello\n  %s logs -f demo\n\nCtrl-C ends it.\n", self, self, self)
}
