package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerlogger"
	"agora.dev/agora/agent/sandboxes"
	agentapi "agora.dev/agora/api/mesos/v1/agent"
)

// tailPause is how often a followed file is looked at.
const tailPause = 50 * time.Millisecond

// terminals are containerizers that keep the terminals of containers.
type terminals interface {
	// Terminal is the outer end of a container's terminal; the caller closes it.
	Terminal(ctx context.Context, id containerizer.ID) (*os.File, error)
}

// sandboxOf finds the sandbox of a live container of a task, an executor or LAUNCH_CONTAINER.
func (s *Server) sandboxOf(ctx context.Context, id containerizer.ID) (string, error) {
	s.nested.mu.Lock()
	sandbox, made := s.nested.made[id]
	s.nested.mu.Unlock()
	if made {
		return sandbox, nil
	}
	snapshot, err := s.Backend.Snapshot(ctx)
	if err != nil {
		return "", refuse(http.StatusServiceUnavailable, "%s", err)
	}
	executor, ok := findContainer(snapshot, id)
	if !ok {
		return "", refuse(http.StatusNotFound, "Container %s cannot be found", id)
	}
	dir := executor.Sandbox
	for _, value := range strings.Split(string(id), ".")[1:] {
		dir = filepath.Join(dir, "containers", value)
	}
	return dir, nil
}

// followed is a file of a sandbox that is passed on from where it ended when it was opened.
type followed struct {
	file   *os.File
	offset int64
	kind   agentapi.ProcessIO_Data_Type
}

// followOutput opens what a container writes its output to. That is in files; the output of a
// terminal is in stdout. The caller closes them.
func (s *Server) followOutput(id containerizer.ID, sandbox string) []*followed {
	var files []*followed
	for name, kind := range map[string]agentapi.ProcessIO_Data_Type{
		"stdout": agentapi.ProcessIO_Data_STDOUT, "stderr": agentapi.ProcessIO_Data_STDERR,
	} {
		f, err := follow(sandbox, name)
		if err != nil {
			s.Log.Debug("output not followed", "container", id, "file", name, "error", err)
			continue
		}
		f.kind = kind
		files = append(files, f)
	}
	return files
}

// tailContainer passes on what a container adds to its output until it ends.
func (s *Server) tailContainer(ctx context.Context, id containerizer.ID, files []*followed, emit func(*agentapi.ProcessIO) bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = s.Containers.Wait(ctx, id)
	}()
	var wg sync.WaitGroup
	for _, f := range files {
		wg.Go(func() {
			if err := f.tail(ctx, ended, func(data []byte) bool {
				return emit(&agentapi.ProcessIO{Type: agentapi.ProcessIO_DATA.Enum(), Data: &agentapi.ProcessIO_Data{Type: &f.kind, Data: data}})
			}); err != nil {
				s.Log.Debug("output not followed to its end", "container", id, "file", f.file.Name(), "error", err)
			}
		})
	}
	wg.Wait()
	cancel()
	<-ended
}

// follow opens a file of a sandbox at its present end. The task can replace it by anything: only a
// regular file within the sandbox is read.
func follow(sandbox, name string) (*followed, error) {
	f, err := openRegular(sandbox, name)
	if err != nil {
		return nil, err
	}
	offset, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &followed{file: f, offset: offset}, nil
}

// tail emits what is added to the file until the container ended, with its last words.
func (f *followed) tail(ctx context.Context, ended <-chan struct{}, emit func([]byte) bool) error {
	pause := time.NewTicker(tailPause)
	defer pause.Stop()
	buffer := make([]byte, copySize)
	for last := false; ; {
		if from, err := containerlogger.FirstData(f.file, f.offset); err == nil {
			f.offset = from // it was rotated faster than it was followed
		}
		n, err := f.file.ReadAt(buffer, f.offset)
		if n > 0 {
			f.offset += int64(n)
			if !emit(append([]byte(nil), buffer[:n]...)) {
				return nil
			}
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if info, err := f.file.Stat(); err == nil && info.Size() < f.offset {
			f.offset = 0 // its head was cut off
			continue
		}
		if last {
			return nil
		}
		select {
		case <-pause.C:
		case <-ended:
			last = true
		case <-ctx.Done():
			return nil
		}
	}
}

func openRegular(dir, name string) (*os.File, error) {
	root, err := sandboxes.Open(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(err, errors.New(name+" is not a regular file"))
	}
	return f, nil
}

// terminalInput is the input of a task that was started with a terminal.
type terminalInput struct{ terminal *os.File }

// endOfInput is what a terminal takes for the end: control-D.
const endOfInput = "\x04"

// apply carries out one record of input.
func (t terminalInput) apply(in *agentapi.ProcessIO) error {
	switch in.GetType() {
	case agentapi.ProcessIO_DATA:
		data := in.GetData().GetData()
		if in.GetData().GetType() != agentapi.ProcessIO_Data_STDIN {
			return errors.New("Expecting 'data' of type STDIN")
		}
		if len(data) == 0 {
			data = []byte(endOfInput)
		}
		_, err := t.terminal.Write(data)
		return err
	case agentapi.ProcessIO_CONTROL:
		if size := in.GetControl().GetTtyInfo().GetWindowSize(); size != nil {
			return resize(t.terminal, uint16(size.GetRows()), uint16(size.GetColumns()))
		}
		return nil
	}
	return errors.New("Expecting 'process_io.type' to be present")
}

// resize leaves the mode of the descriptor alone, which the launcher shares.
func resize(terminal *os.File, rows, cols uint16) error {
	raw, err := terminal.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	})
	return errors.Join(err, failed)
}

// inputs are the containers of tasks whose terminal has an input attached: one each.
type inputs struct {
	mu   sync.Mutex
	busy map[containerizer.ID]bool
}

// input opens the terminal of a task for one attached input; what it returns gives it back.
func (s *Server) input(ctx context.Context, id containerizer.ID) (terminalInput, func(), error) {
	if _, err := s.sandboxOf(ctx, id); err != nil {
		return terminalInput{}, nil, err
	}
	keeper, ok := s.Containers.(terminals)
	if !ok {
		return terminalInput{}, nil, refuse(http.StatusNotImplemented, "This agent has no terminals")
	}
	s.inputs.mu.Lock()
	defer s.inputs.mu.Unlock()
	if s.inputs.busy[id] {
		return terminalInput{}, nil, refuse(http.StatusConflict, "Multiple input connections are not allowed")
	}
	terminal, err := keeper.Terminal(ctx, id)
	if err != nil {
		return terminalInput{}, nil, refuse(http.StatusBadRequest, "%s", err)
	}
	if s.inputs.busy == nil {
		s.inputs.busy = map[containerizer.ID]bool{}
	}
	s.inputs.busy[id] = true
	return terminalInput{terminal}, func() {
		terminal.Close()
		s.inputs.mu.Lock()
		defer s.inputs.mu.Unlock()
		delete(s.inputs.busy, id)
	}, nil
}
