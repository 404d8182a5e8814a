package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"agora.dev/agora/agent/images"
)

func (a *App) imageSave(open func() (*images.Store, error)) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "save IMAGE...",
		Aliases: []string{"export"},
		Short:   "Save images to an archive for another machine",
		Long: `Save images to one archive, which is both an OCI layout and what docker save writes: agora image
load, docker load, podman and skopeo read it. Images keep their ids, and the digests by which they are known to agora.`,
		Example: "  agora image save web:1 db:2 -o images.tar\n  agora image save web:1 | ssh other agora image load -",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := open()
			if err != nil {
				return err
			}
			write := func(w io.Writer) error {
				if err := store.Save(cmd.Context(), w, args...); err != nil {
					return imageError(err)
				}
				return nil
			}
			if output != "" && output != "-" {
				return writeWhole(output, write)
			}
			if isTerminal(a.Out) {
				return exitf(ExitUsage, "an archive is not for a terminal: give -o FILE, or send the output somewhere")
			}
			return write(a.Out)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write; default: the output")
	return cmd
}

// writeWhole makes a file that is there only when all of it is.
func writeWhole(path string, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	buffer := bufio.NewWriterSize(file, 1<<20)
	if err := write(buffer); err != nil {
		file.Close()
		return err
	}
	if err := errors.Join(buffer.Flush(), file.Chmod(0o644), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// archiveFile is the file of an argument; what comes on the input is put into one first, since
// an archive is read from several places.
func (a *App) archiveFile(argument string) (path string, remove func(), err error) {
	if argument != "-" {
		return argument, func() {}, nil
	}
	if isTerminal(a.In) {
		return "", nil, exitf(ExitUsage, "no archive on the input: name a file, or send one")
	}
	file, err := os.CreateTemp("", "agora-load-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { os.Remove(file.Name()) }
	_, err = io.Copy(file, a.In)
	if err = errors.Join(err, file.Close()); err != nil {
		remove()
		return "", nil, fmt.Errorf("read the archive: %w", err)
	}
	return file.Name(), remove, nil
}

func (a *App) imageRm(open func() (*images.Store, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "rm IMAGE...",
		Short: "Forget images",
		Long: `Forget images. Running containers keep their files; what nothing uses is removed by
agora image prune, or with --image_gc_config when the agent's disk fills up.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := open()
			if err != nil {
				return err
			}
			for _, ref := range args {
				if err := store.Remove(ref); err != nil {
					return imageError(err)
				}
				fmt.Fprintln(a.Out, images.Familiar(ref))
			}
			return nil
		},
	}
}
