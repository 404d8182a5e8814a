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

// position is how far the Engine's log has been copied: the time of the last entry, and how many
// entries of that time. It is written after each entry: an agent that dies in between repeats one.
type position struct {
	file  *os.File
	at    time.Time
	count uint64
}

func openPosition(path string) (*position, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	p := &position{file: f}
	var b [16]byte
	if _, err := f.ReadAt(b[:], 0); err == nil {
		p.at, p.count = time.Unix(0, int64(binary.LittleEndian.Uint64(b[:]))).UTC(), binary.LittleEndian.Uint64(b[8:])
	}
	return p, nil
}

func (p *position) since() string {
	if p.at.IsZero() {
		return ""
	}
	return p.at.Format(time.RFC3339Nano)
}

// filter says which entries are new, in a log that is read from since on.
func (p *position) filter() func(at time.Time) bool {
	last, skip := p.at, p.count
	return func(at time.Time) bool {
		if at.Before(last) {
			return false
		}
		if at.Equal(last) && skip > 0 {
			skip--
			return false
		}
		return true
	}
}

func (p *position) pass(at time.Time) error {
	if !at.Equal(p.at) {
		p.at, p.count = at, 0
	}
	p.count++
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(p.at.UnixNano()))
	binary.LittleEndian.PutUint64(b[8:], p.count)
	_, err := p.file.WriteAt(b[:], 0)
	return err
}

// retryPause is how long is waited for an Engine that does not answer.
const retryPause = time.Second

// copyOutput copies the output of a container into its sandbox until it has ended.
func (c *Containerizer) copyOutput(b *box) {
	defer close(b.copied)
	o, err := c.recorded(b.id)
	if err != nil {
		c.log.Error("output of container is not copied", "container", b.id, "error", err)
		return
	}
	for {
		err := c.follow(c.ctx, b.id, o)
		if err == nil || c.ctx.Err() != nil {
			return
		}
		if errdefs.IsNotFound(err) || errors.Is(err, errUnwritable) || errdefs.IsNotImplemented(err) {
			c.log.Warn("output of container is not copied any more", "container", b.id, "error", err)
			return
		}
		select { // the Engine is being restarted
		case <-time.After(retryPause):
		case <-c.ctx.Done():
			return
		}
	}
}

var errUnwritable = errors.New("the sandbox cannot be written")

// follow reads the Engine's log from where it was left to the container's end. It fails when the
// Engine breaks off.
func (c *Containerizer) follow(ctx context.Context, id containerizer.ID, o output) error {
	p, err := openPosition(filepath.Join(c.dir(id), "position"))
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

// lines reads the log of a terminal, where an entry is a line.
func lines(in *bufio.Reader) func() (stream stdcopy.StdType, entry []byte, err error) {
	return func() (stdcopy.StdType, []byte, error) {
		var entry []byte
		for {
			part, err := in.ReadSlice('\n')
			entry = append(entry, part...)
			switch {
			case len(entry) > maxEntry:
				return 0, nil, fmt.Errorf("the Engine sends a line of more than %d bytes", maxEntry)
			case errors.Is(err, bufio.ErrBufferFull):
				continue
			case errors.Is(err, io.EOF) && len(entry) > 0:
				err = nil
			}
			return stdcopy.Stdout, entry, err
		}
	}
}

// copyEntries writes what is new: an entry is a time and what was written then.
func copyEntries(to [2]*os.File, next func() (stdcopy.StdType, []byte, error), p *position) error {
	fresh := p.filter()
	for {
		stream, entry, err := next()
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
		if !fresh(at) {
			continue
		}
		file := to[0]
		if stream == stdcopy.Stderr {
			file = to[1]
		}
		if _, err := file.Write(said); err != nil {
			return fmt.Errorf("%w: %w", errUnwritable, err)
		}
		if err := p.pass(at); err != nil {
			return fmt.Errorf("%w: %w", errUnwritable, err)
		}
	}
}
