package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func (a *App) copyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cp TASK:PATH FILE | cp FILE TASK:PATH",
		Short: "Copy a file out of a task's container, or into it",
		Long: `Copy one file between this machine and a task's container, with the rights of a command that runs in it.
"-" is standard output or input. A relative path in a container begins at its sandbox. For directories: agora exec TASK -- tar.`,
		Example: "  agora cp web:/etc/hosts -\n  agora cp config.json web:/etc/app.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("cp needs a source and a target: agora cp web:/etc/hosts hosts")
			}
			from, inside, out := cutTask(args[0])
			to, target, in := cutTask(args[1])
			switch {
			case out == in:
				return usagef("one of %q and %q must be TASK:PATH", args[0], args[1])
			case out:
				return a.copyOut(cmd.Context(), from, inside, args[1])
			}
			return a.copyIn(cmd.Context(), args[0], to, target)
		},
	}
}

// cutTask reads TASK:PATH. What begins with a slash or a dot is a file of this machine.
func cutTask(text string) (task, path string, ok bool) {
	if strings.HasPrefix(text, "/") || strings.HasPrefix(text, ".") {
		return "", "", false
	}
	task, path, ok = strings.Cut(text, ":")
	return task, path, ok && task != "" && path != ""
}

// inside runs a command in a task's container with the streams given.
func (a *App) inside(ctx context.Context, name string, in io.Reader, out io.Writer, args ...string) error {
	v, err := a.look(ctx)
	if err != nil {
		return err
	}
	t, err := v.task(name)
	if err != nil {
		return err
	}
	var complaint bytes.Buffer
	streams := &App{In: in, Out: out, Err: &complaint, Env: a.Env, Version: a.Version, master: a.master}
	s, err := streams.newSession(ctx, t, args, nil, "")
	if err != nil {
		return err
	}
	if err = s.run(ctx, in != nil); err != nil && complaint.Len() > 0 {
		return exitf(ExitFailure, "%s: %s", name, strings.TrimSpace(complaint.String()))
	}
	return err
}

func (a *App) copyOut(ctx context.Context, task, from, to string) error {
	if strings.HasPrefix(from, "-") {
		from = "./" + from
	}
	if to == "-" {
		return a.inside(ctx, task, nil, a.Out, "cat", from)
	}
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		to = filepath.Join(to, path.Base(from))
	}
	// Beside the target: it is there whole, or not at all.
	part, err := os.CreateTemp(filepath.Dir(to), ".agora-cp-*")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	err = a.inside(ctx, task, nil, part, "cat", from)
	if closed := part.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Chmod(part.Name(), 0o644)
	}
	if err != nil {
		return err
	}
	return os.Rename(part.Name(), to)
}

func (a *App) copyIn(ctx context.Context, from, task, to string) error {
	in := a.In
	if from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return err
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return usagef("%s is a directory: pipe a tar archive into agora exec -i %s -- tar x", from, task)
		}
		in = f
		if strings.HasSuffix(to, "/") {
			to += filepath.Base(from)
		}
	}
	if err := a.inside(ctx, task, in, io.Discard, "sh", "-c", `cat > "$1"`, "sh", to); err != nil {
		return fmt.Errorf("copy to %s:%s: %w", task, to, err)
	}
	return nil
}
