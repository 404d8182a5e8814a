package cli

import (
	"context"
	"errors"
	"os/signal"
	"path/filepath"

	"github.com/spf13/cobra"

	"agora.dev/agora/internal/flags"
	"agora.dev/agora/internal/journal"
	"agora.dev/agora/kv/etcdkv"
	"agora.dev/agora/orchestrator"
)

func (a *App) orchestratorCommand() *cobra.Command {
	options := orchestrator.DefaultOptions()
	set := flags.New("MARATHON_")
	options.Flags(set)
	var logging journal.Options
	logging.Flags(set)
	return a.roleCommand(role{
		use: "orchestrator", short: "Run the orchestrator of apps",
		example: "  agora orchestrator --master=10.0.0.1:5050 --work_dir=/var/lib/agora/orchestrator --http_credentials=file:///etc/agora/marathon",
		flags:   set, environment: "MARATHON_", journal: &logging,
		run: func(ctx context.Context, log *journal.Log) error {
			ctx, stop := signal.NotifyContext(ctx, terminating...)
			defer stop()
			return runOrchestrator(ctx, options, log)
		},
	})
}

// runOrchestrator keeps its apps in an embedded etcd below its work directory.
func runOrchestrator(ctx context.Context, options orchestrator.Options, log *journal.Log) error {
	if err := options.Check(); err != nil {
		return usagef("%v", err)
	}
	store, err := etcdkv.OpenEmbedded(ctx, etcdkv.EmbeddedConfig{Dir: filepath.Join(options.WorkDir, "store")})
	if err != nil {
		return err
	}
	defer store.Close()
	process, err := orchestrator.Open(options, store, log.Logger)
	if err != nil {
		return usageOr(err)
	}
	log.Info("orchestrator started", "address", process.Addr())
	if err := process.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
