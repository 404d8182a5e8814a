package docker

import (
	"errors"
	"log/slog"
	"os"
	"syscall"

	"agora.dev/agora/agent/containerlogger"
)

// sink is a file of the sandbox that takes output. It is bounded by who writes to it: there is no
// time in which it could grow further.
type sink struct {
	*os.File
	sandbox, name string
	bound         containerlogger.Bound
	log           *slog.Logger
	start         int64 // where its data begins
	told          bool  // of an error
}

// openSink opens a file of the output, owned like the sandbox.
func openSink(sandbox, name string, bound containerlogger.Bound, log *slog.Logger) (*sink, error) {
	dir, err := os.OpenRoot(sandbox)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	info, err := dir.Stat(".")
	if err != nil {
		return nil, err
	}
	f, err := dir.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 {
		if err := f.Chown(int(stat.Uid), int(stat.Gid)); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	s := &sink{File: f, sandbox: sandbox, name: name, bound: bound, log: log}
	s.rotate()
	return s, nil
}

// write writes an entry, or nothing of it: what then fails is taken back, and can be tried again.
func (s *sink) write(said []byte, then func() error) error {
	n, err := s.Write(said)
	if err == nil {
		err = then()
	}
	if err == nil {
		s.rotate()
		return nil
	}
	if n == 0 {
		return err
	}
	info, failed := s.Stat()
	if failed == nil {
		failed = s.Truncate(info.Size() - int64(n))
	}
	return errors.Join(err, failed)
}

// rotate keeps the file within its bound. Where that cannot be, it is tried again when as much
// has been written once more.
func (s *sink) rotate() {
	if s.bound.MaxBytes <= 0 {
		return
	}
	info, err := s.Stat()
	if err == nil {
		if info.Size()-s.start <= s.bound.MaxBytes {
			return
		}
		_, err = containerlogger.Rotate(s.sandbox, s.name, s.bound)
	}
	begins, failed := containerlogger.FirstData(s.File, 0)
	if err = errors.Join(err, failed); err == nil {
		s.start = begins
		return
	}
	if info != nil {
		s.start = info.Size()
	}
	if !s.told {
		s.told = true
		s.log.Warn("output of container not rotated as it should", "file", s.Name(), "error", err)
	}
}
