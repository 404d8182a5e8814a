package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"agora.dev/agora/agent/images"
	"agora.dev/agora/agent/images/logins"
	"agora.dev/agora/api/agora/pulls"
	"agora.dev/agora/devcluster"
)

func (a *App) addImageVerbs(cmd *cobra.Command) {
	store := cmd.PersistentFlags().String("store", filepath.Join(devcluster.DefaultStateDir(), devcluster.ImagesDir), "directory of the store")
	open := func() (*images.Store, error) { return images.Open(*store, images.Config{}) }
	cmd.AddCommand(a.imageLs(open), a.imageLoad(open), a.imageSave(open), a.imagePull(open), a.imageRm(open))
}

func (a *App) imageLs(open func() (*images.Store, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List images",
		Example: "  agora image ls -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			store, err := open()
			if err != nil {
				return err
			}
			list, err := store.List()
			if err != nil {
				return err
			}
			return a.print(imageTable(list))
		},
	}
	a.addOutput(cmd)
	return cmd
}

func imageTable(list []*images.Image) table {
	t := table{Columns: []string{"IMAGE", "ID", "SIZE", "ADDED", "PLATFORM", "DIGEST"}, Wide: 2, Value: list}
	for _, image := range list {
		if image.Builtin {
			t.Rows = append(t.Rows, []string{images.Familiar(image.Reference), "-", "-", "built in", image.OS + "/" + image.Arch, "-"})
			continue
		}
		id := strings.TrimPrefix(image.ID, "sha256:")
		t.Rows = append(t.Rows, []string{images.Familiar(image.Reference), id[:min(12, len(id))], byteText(image.Size),
			age(&image.Added), image.OS + "/" + image.Arch, image.Digest})
	}
	if list == nil {
		t.Value = []*images.Image{}
	}
	return t
}

func (a *App) imageLoad(open func() (*images.Store, error)) *cobra.Command {
	return &cobra.Command{
		Use:     "load FILE",
		Aliases: []string{"import"},
		Short:   "Load images from a docker save archive or an OCI layout; - is the input",
		Example: "  docker save web:1 > web.tar; agora image load web.tar\n  agora image save web:1 | ssh other agora image load -",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := open()
			if err != nil {
				return err
			}
			from, remove, err := a.archiveFile(args[0])
			if err != nil {
				return err
			}
			defer remove()
			loaded, err := store.Load(cmd.Context(), from)
			if err != nil {
				return imageError(err)
			}
			for _, image := range loaded {
				fmt.Fprintln(a.Out, images.Familiar(image.Reference))
			}
			return nil
		},
	}
}

func (a *App) imagePull(open func() (*images.Store, error)) *cobra.Command {
	var user, config string
	cmd := &cobra.Command{
		Use:     "pull IMAGE",
		Short:   "Pull an image from its registry",
		Example: "  agora image pull registry.example:5000/web:1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := open()
			if err != nil {
				return err
			}
			given, err := a.pullLogins(store, args[0], user, config)
			if err != nil {
				return err
			}
			return a.pull(cmd.Context(), store, args[0], given)
		},
	}
	cmd.Flags().StringVar(&user, "creds", "", "USER:PASSWORD for the registry")
	cmd.Flags().StringVar(&config, "config", keptLogins(), "Docker's config.json with logins, or the file that holds it; default: what docker login has kept")
	return cmd
}

// keptLogins is docker's file when there is one.
func keptLogins() string {
	dir := os.Getenv("DOCKER_CONFIG")
	if home, err := os.UserHomeDir(); dir == "" && err == nil {
		dir = filepath.Join(home, ".docker")
	}
	file := filepath.Join(dir, "config.json")
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// pullLogins are those of --creds, or those that docker login has kept.
func (a *App) pullLogins(store *images.Store, ref, user, config string) (logins.Logins, error) {
	if user == "" {
		given, err := logins.Open(config)
		if err != nil {
			return nil, exitf(ExitUsage, "--config: %v", err)
		}
		return given, nil
	}
	registry, err := store.Registry(ref)
	if err != nil {
		return nil, imageError(err)
	}
	var one logins.Login
	one.Username, one.Password, _ = strings.Cut(user, ":")
	return logins.One(registry, one), nil
}

func (a *App) pull(ctx context.Context, store *images.Store, ref string, given logins.Logins) error {
	progress := &pullProgress{out: a.Err, pull: pulls.Pull{Names: []string{ref}}}
	var report images.Progress
	if isTerminal(a.Err) {
		report = progress.event
	}
	image, err := store.Pull(ctx, ref, given, report)
	progress.clear()
	if err != nil {
		return imageError(err)
	}
	fmt.Fprintln(a.Out, images.Familiar(image.Reference))
	return nil
}

// pullProgress keeps some lines of a terminal up to date: one for each layer, and their sum.
type pullProgress struct {
	out   io.Writer
	mu    sync.Mutex
	pull  pulls.Pull
	shown time.Time
	lines int
}

func (p *pullProgress) event(e images.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	layer := pulls.Layer{Digest: e.Layer, Current: e.Current, Total: e.Total, Done: e.Done}
	at := slices.IndexFunc(p.pull.Layers, func(l pulls.Layer) bool { return l.Digest == e.Layer })
	if at < 0 {
		p.pull.Layers = append(p.pull.Layers, layer)
	} else if !p.pull.Layers[at].Done {
		p.pull.Layers[at] = layer
	}
	if time.Since(p.shown) >= 100*time.Millisecond {
		p.shown = time.Now()
		p.erase()
		p.show()
	}
}

// maxLayerLines bounds what a pull takes of a terminal.
const maxLayerLines = 12

func (p *pullProgress) show() {
	for _, l := range p.pull.Layers {
		if p.lines == maxLayerLines {
			break
		}
		_, digits, _ := strings.Cut(l.Digest, ":")
		state := "waiting"
		switch {
		case l.Done:
			state = "done"
		case l.Current > 0 && l.Total > 0:
			state = fmt.Sprintf("%s of %s, %d%%", byteText(l.Current), byteText(l.Total), 100*l.Current/l.Total)
		case l.Current > 0:
			state = byteText(l.Current)
		}
		fmt.Fprintf(p.out, "%.12s  %s\n", digits, state)
		p.lines++
	}
	done, current, _ := p.pull.Sum()
	fmt.Fprintf(p.out, "pulling: %d of %d layers, %s", done, len(p.pull.Layers), byteText(current))
}

// erase takes the lines back.
func (p *pullProgress) erase() {
	if p.shown.IsZero() {
		return
	}
	fmt.Fprint(p.out, "\r\x1b[K")
	for ; p.lines > 0; p.lines-- {
		fmt.Fprint(p.out, "\x1b[A\x1b[K")
	}
}

func (p *pullProgress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	p.shown = time.Time{}
}

// imageError gives the errors of the store their exit codes.
func imageError(err error) error {
	code := ExitFailure
	switch {
	case errors.Is(err, images.ErrNotFound):
		code = ExitNotFound
	case errors.Is(err, images.ErrUnreachable):
		code = ExitUnreachable
	case errors.Is(err, images.ErrReference):
		code = ExitUsage
	}
	return &exitError{code: code, text: err.Error(), err: err}
}
