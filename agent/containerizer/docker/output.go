package docker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerlogger"
)

// output is what a later agent needs to go on with a container's output.
type output struct {
	Sandbox string
	TTY     bool
	// Bounds are nil in what an agent has left that knew of none: the operator's hold then.
	Bounds *containerlogger.Bounds `json:",omitempty"`
}

func (c *Containerizer) record(id containerizer.ID, o output) error {
	b, err := json.Marshal(o)
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
	if o.Bounds == nil {
		o.Bounds = &c.config.Output
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
	file *os.File

	mu      sync.Mutex
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

// behind says that an entry is later than what has been copied of its stream.
func (p *position) behind(stream int, at time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return at.After(p.streams[stream].at)
}

func (p *position) pass(stream int, at time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
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

// maxEntry bounds one entry of a log, in bytes; the Engine cuts at 16 KiB.
const maxEntry = 1 << 20

// frames reads a log with two outputs: eight bytes of stream and length, and an entry.
func frames(in *bufio.Reader) entries {
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
func lines(in *bufio.Reader) entries {
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

// parse reads an entry: a time and what was written then.
func parse(kind stdcopy.StdType, entry []byte) (stream int, at time.Time, said []byte, err error) {
	stamp, said, _ := bytes.Cut(entry, []byte(" "))
	if at, err = time.Parse(time.RFC3339Nano, string(stamp)); err != nil {
		return 0, at, nil, fmt.Errorf("the Engine sends an entry without a time: %w", err)
	}
	if kind == stdcopy.Stderr {
		stream = 1
	}
	return stream, at, said, nil
}

// copyEntries writes what is new, and tells of each entry, new or not.
func copyEntries(to [2]*sink, next entries, p *position, heard func()) error {
	fresh := p.filter()
	for {
		kind, entry, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		stream, at, said, err := parse(kind, entry)
		if err != nil {
			return err
		}
		heard()
		if !fresh(stream, at) {
			continue
		}
		if err := to[stream].write(said, func() error { return p.pass(stream, at) }); err != nil {
			return fmt.Errorf("%w: %w", errUnwritable, err)
		}
	}
}
