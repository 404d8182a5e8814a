package cli

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"agora.dev/agora/internal/flags"
)

// role is a command whose flags are written as Mesos's: --name=value, --no-name, MESOS_NAME, file://.
type role struct {
	use, short, example string
	flags               *flags.Set
	// environment begins the names of its variables; empty: MESOS_.
	environment string
	// logDir is where the log goes when no file is named; nil or empty: to standard error.
	logDir func() string
	// run does the work until ctx ends.
	run func(ctx context.Context, log journal) error
}

// journal is a log that can be shown and whose level can be changed.
type journal struct {
	*slog.Logger
	level *slog.LevelVar
	file  string // empty: standard error
}

func (a *App) roleCommand(r role) *cobra.Command {
	level, file, set := "INFO", "", r.flags
	set.String(&level, "logging_level", "DEBUG, INFO, WARNING or ERROR")
	set.Path(&file, "log_file", "append the log to this file instead of standard error")
	cmd := &cobra.Command{
		Use:                r.use,
		Short:              r.short,
		Example:            r.example,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
				return cmd.Help()
			}
			rest, err := set.Parse(args, os.Environ())
			if err != nil {
				return usagef("%v", err)
			}
			if len(rest) > 0 {
				return usagef("unexpected argument %q; options are written --name=value", rest[0])
			}
			out := a.Err
			if file == "" && r.logDir != nil && r.logDir() != "" {
				file = filepath.Join(r.logDir(), "agora-"+r.use+".log")
			}
			if file != "" {
				opened, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
				if err != nil {
					return usagef("--log_file=%s: %v", file, err)
				}
				defer opened.Close()
				out = opened
			}
			variable := new(slog.LevelVar)
			variable.Set(logLevel(level))
			log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: variable}))
			return r.run(cmd.Context(), journal{Logger: log, level: variable, file: file})
		},
	}
	cmd.SetHelpFunc(func(*cobra.Command, []string) {
		fmt.Fprintf(a.Out, "%s\n\nUsage:\n  agora %s [--name=value ...]\n\nExample:\n%s\n\nOptions, also as %sNAME in the environment, also as --name=file:///path:\n%s",
			r.short, r.use, r.example, cmp.Or(r.environment, "MESOS_"), set.Usage())
	})
	return cmd
}

func logLevel(name string) slog.Level {
	switch name {
	case "DEBUG":
		return slog.LevelDebug
	case "WARNING":
		return slog.LevelWarn
	case "ERROR":
		return slog.LevelError
	}
	return slog.LevelInfo
}
