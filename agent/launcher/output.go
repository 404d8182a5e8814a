package launcher

import (
	"os"
	"path/filepath"

	"agora.dev/agora/agent/sandboxes"
)

// OpenFiles opens what the command of a request reads and writes: /dev/null and files opened for
// append, or a terminal, whose other end is for the launcher to keep (nil without one).
func OpenFiles(request Request) (files [3]*os.File, kept *Terminal, err error) {
	if request.Spec.Process != nil && request.Spec.Process.Terminal {
		return openTerminal(request)
	}
	if files[0], err = os.Open(os.DevNull); err != nil {
		return files, nil, err
	}
	for i, name := range []string{request.Stdout, request.Stderr} {
		if files[i+1], err = appendTo(name); err != nil {
			CloseFiles(files[:])
			return files, nil, err
		}
	}
	return files, nil, nil
}

func openTerminal(request Request) (files [3]*os.File, kept *Terminal, err error) {
	out, err := appendTo(request.Stdout)
	if err != nil {
		return files, nil, err
	}
	outer, inner, err := OpenTerminal(request.Spec.Process.ConsoleSize)
	if err != nil {
		out.Close()
		return files, nil, err
	}
	return [3]*os.File{inner, inner, inner}, &Terminal{ID: request.ID, Outer: outer, File: out}, nil
}

func appendTo(name string) (*os.File, error) {
	if name == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	return sandboxes.Append(filepath.Dir(name), filepath.Base(name), os.O_WRONLY)
}

// CloseFiles closes what OpenFiles opened; the three may be one terminal.
func CloseFiles(files []*os.File) {
	for i, f := range files {
		if f != nil && (i == 0 || f != files[0]) {
			f.Close()
		}
	}
}
