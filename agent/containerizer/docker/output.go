package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"agora.dev/agora/agent/containerizer"
)

// output is what a later agent needs to go on with a container's output.
type output struct {
	Sandbox string
	TTY     bool
}

func (c *Containerizer) record(id containerizer.ID, sandbox string, tty bool) error {
	b, err := json.Marshal(output{sandbox, tty})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.dir(id), "output.json"), b, 0o600); err != nil {
		return fmt.Errorf("record container %s: %w", id, err)
	}
	return nil
}

func (c *Containerizer) recorded(id containerizer.ID) (o output, err error) {
	b, err := os.ReadFile(filepath.Join(c.dir(id), "output.json"))
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	return o, err
}

// mark is how far one stream of the Engine's log has been copied: the time of its last entry, and how
// many entries of that time. Within a stream times do not go back; the streams overtake each other.
type mark struct {
	at    time.Time
	count uint64
}

// markBytes is the length of a written mark.
const markBytes = 16

// position is how far the Engine's log has been copied. It is written after each entry: an agent
// that dies in between repeats one.
type position struct {
	file    *os.File
	streams []mark // stdout, and stderr where there is no terminal
}

func openPosition(path string, tty bool) (*position, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	p := &position{file: f, streams: make([]mark, 2)}
	if tty {
		p.streams = p.streams[:1]
	}
	for i := range p.streams {
		var b [markBytes]byte
		if _, err := f.ReadAt(b[:], int64(i*markBytes)); err != nil {
			break
		}
		if at := binary.LittleEndian.Uint64(b[:]); at != 0 {
			p.streams[i] = mark{time.Unix(0, int64(at)).UTC(), binary.LittleEndian.Uint64(b[8:])}
		}
	}
	return p, nil
}

// since is where the log must be read from: all of it while a stream has said nothing.
func (p *position) since() string {
	first := p.streams[0].at
	for _, m := range p.streams {
		if m.at.Before(first) {
			first = m.at
		}
	}
	if first.IsZero() {
		return ""
	}
	return first.Format(time.RFC3339Nano)
}

// filter says which entries are new, in a log that is read from since on.
func (p *position) filter() func(stream int, at time.Time) bool {
	last := slices.Clone(p.streams)
	return func(stream int, at time.Time) bool {
		m := &last[stream]
		if at.Before(m.at) {
			return false
		}
		if at.Equal(m.at) && m.count > 0 {
			m.count--
			return false
		}
		return true
	}
}

func (p *position) pass(stream int, at time.Time) error {
	m := &p.streams[stream]
	if !at.Equal(m.at) {
		*m = mark{at: at}
	}
	m.count++
	var b [markBytes]byte
	binary.LittleEndian.PutUint64(b[:], uint64(m.at.UnixNano()))
	binary.LittleEndian.PutUint64(b[8:], m.count)
	_, err := p.file.WriteAt(b[:], int64(stream*markBytes))
	return err
}

// retryPause is how long is waited for an Engine that does not answer.
const retryPause = time.Second

// copyOutput copies the output of a container into its sandbox until it has ended, or ctx has.
func (c *Containerizer) copyOutput(ctx context.Context, b *box) {
	defer close(b.copied)
	o, err := c.recorded(b.id)
	if err != nil {
		c.log.Error("output of container is not copied", "container", b.id, "error", err)
		return
	}
	for said := false; ; {
		err := c.follow(ctx, b.id, o)
		if err == nil || ctx.Err() != nil {
			return
		}
		switch {
		case full(err):
			if !said {
				c.log.Warn("output of container waits for room on the disk", "container", b.id, "error", err)
			}
			said = true
		case errdefs.IsNotFound(err), errors.Is(err, errUnwritable), errdefs.IsNotImplemented(err):
			c.log.Warn("output of container is not copied any more", "container", b.id, "error", err)
			return
		default: // the Engine is being restarted
			said = false
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return
		}
	}
}

var errUnwritable = errors.New("the sandbox cannot be written")

// full says that a write failed for want of room, which may come back.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// follow reads the Engine's log from where it was left to the container's end. It fails when the
// Engine breaks off.
func (c *Containerizer) follow(ctx context.Context, id containerizer.ID, o output) error {
	p, err := openPosition(filepath.Join(c.dir(id), "position"), o.TTY)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnwritable, err)
	}
	defer p.file.Close()
	var files [2]*os.File
	for i, name := range []string{"stdout", "stderr"} {
		if files[i], err = openOutput(o.Sandbox, name); err != nil {
			return fmt.Errorf("%w: %w", errUnwritable, err)
		}
		defer files[i].Close()
	}
	if err := c.copyLog(ctx, id, o, files, p, true); err != nil {
		return err
	}
	// The log also ends when the Engine stops; and one that is followed may end before its last entries.
	found, err := c.engine.ContainerInspect(ctx, name(id), client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	if found.Container.State.Running {
		return io.ErrUnexpectedEOF
	}
	return c.copyLog(ctx, id, o, files, p, false)
}

// copyLog copies what is new in the Engine's log, and with follow what is written until the end.
func (c *Containerizer) copyLog(ctx context.Context, id containerizer.ID, o output, to [2]*os.File, p *position, follow bool) error {
	log, err := c.engine.ContainerLogs(ctx, name(id), client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Follow: follow, Timestamps: true, Since: p.since()})
	if err != nil {
		return err
	}
	defer log.Close()
	next := frames(bufio.NewReaderSize(log, 32<<10))
	if o.TTY {
		next = lines(bufio.NewReaderSize(log, 32<<10))
	}
	return copyEntries(to, next, p)
}

// openOutput opens a file of the output, owned like the sandbox.
func openOutput(sandbox, name string) (*os.File, error) {
	dir, err := os.OpenRoot(sandbox)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	info, err := dir.Stat(".")
	if err != nil {
		return nil, err
	}
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 {
		if err := f.Chown(int(stat.Uid), int(stat.Gid)); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// maxEntry bounds one entry of a log, in bytes; the Engine cuts at 16 KiB.
const maxEntry = 1 << 20

// frames reads a log with two outputs: eight bytes of stream and length, and an entry.
func frames(in *bufio.Reader) func() (stream stdcopy.StdType, entry []byte, err error) {
	var header [8]byte
	var entry []byte
	return func() (stdcopy.StdType, []byte, error) {
		if _, err := io.ReadFull(in, header[:]); err != nil {
			return 0, nil, err
		}
		length := binary.BigEndian.Uint32(header[4:])
		if length > maxEntry {
			return 0, nil, fmt.Errorf("the Engine sends an entry of %d bytes", length)
		}
		entry = append(entry[:0], make([]byte, length)...)
		_, err := io.ReadFull(in, entry)
		return stdcopy.StdType(header[0]), entry, err
	}
}

// maxPiece is where the Engine cuts a line into entries, in bytes.
const maxPiece = 16 << 10

// lines reads the log of a terminal, where an entry is a line, or a piece of maxPiece of one.
func lines(in *bufio.Reader) func() (stream stdcopy.StdType, entry []byte, err error) {
	var entry []byte
	return func() (stdcopy.StdType, []byte, error) {
		stamp, err := in.ReadSlice(' ')
		if err != nil {
			if errors.Is(err, io.EOF) && len(stamp) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return 0, nil, err
		}
		entry = append(entry[:0], stamp...)
		for end := len(stamp) + maxPiece; len(entry) < end && entry[len(entry)-1] != '\n'; {
			b, err := in.ReadByte()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return 0, nil, err
			}
			entry = append(entry, b)
		}
		return stdcopy.Stdout, entry, nil
	}
}

// copyEntries writes what is new: an entry is a time and what was written then.
func copyEntries(to [2]*os.File, next func() (stdcopy.StdType, []byte, error), p *position) error {
	fresh := p.filter()
	for {
		kind, entry, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		stamp, said, _ := bytes.Cut(entry, []byte(" "))
		at, err := time.Parse(time.RFC3339Nano, string(stamp))
		if err != nil {
			return fmt.Errorf("the Engine sends an entry without a time: %w", err)
		}
		stream := 0
		if kind == stdcopy.Stderr {
			stream = 1
		}
		if !fresh(stream, at) {
			continue
		}
		if err := write(to[stream], said, func() error { return p.pass(stream, at) }); err != nil {
			return fmt.Errorf("%w: %w", errUnwritable, err)
		}
	}
}

// write writes an entry, or nothing of it: what then fails is taken back, and can be tried again.
func write(to *os.File, said []byte, then func() error) error {
	n, err := to.Write(said)
	if err == nil {
		err = then()
	}
	if err == nil || n == 0 {
		return err
	}
	info, failed := to.Stat()
	if failed == nil {
		failed = to.Truncate(info.Size() - int64(n))
	}
	return errors.Join(err, failed)
}
