// Package agentlink is the connection between an agent and the leading master: an HTTP
// request upgraded to a byte stream that carries RecordIO-framed messages both ways.
//
// It owns the bounds of that stream and the dialer of the agent's side; master/agentlink has
// the other side. It promises order, at most one delivery, and that neither side ever waits
// for the other: a peer that does not read is cut off. It refuses records above MaxRecord.
package agentlink

import (
	"bufio"
	"fmt"
	"net"
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/recordio"
	"agora.dev/agora/internal/outbox"
	"google.golang.org/protobuf/proto"
)

// Path and Protocol are the request that opens a link.
const (
	Path     = "/api/agora/link"
	Protocol = "agora-link/1"
)

// Bounds of a link, in bytes and messages.
const (
	MaxRecord   = 64 << 20
	MaxWaiting  = 64 << 20
	MaxMessages = 1 << 18
	// plainDecode is the size up to which a record cannot nest deeply enough to matter.
	plainDecode = 64 << 10
)

type message interface {
	proto.Message
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
	UnmarshalVT([]byte) error
}

// half is what both sides share: Out are the messages that it sends.
type half[Out message] struct {
	conn net.Conn
	in   *recordio.Reader
	out  *outbox.Outbox[Out]
}

// readAhead is small because a master has tens of thousands of links, nearly all of them idle; what is
// longer is read into its record without a detour.
const readAhead = 1 << 10

func newHalf[Out message](conn net.Conn, in *bufio.Reader) half[Out] {
	if in == nil {
		in = bufio.NewReaderSize(conn, readAhead)
	}
	return half[Out]{
		conn: conn,
		in:   recordio.NewReader(in, MaxRecord),
		out: outbox.New(conn, outbox.Config[Out]{
			Encode:      encode[Out],
			Size:        func(m Out) int { return m.SizeVT() },
			MaxBytes:    MaxWaiting,
			MaxMessages: MaxMessages,
		}),
	}
}

func encode[M message](dst []byte, m M) ([]byte, error) {
	size := m.SizeVT()
	if size > MaxRecord {
		return dst, fmt.Errorf("link message of %d bytes, at most %d: %w", size, MaxRecord, recordio.ErrTooLong)
	}
	dst = recordio.AppendLength(dst, size)
	start := len(dst)
	if cap(dst)-start < size {
		dst = append(dst, make([]byte, size)...)
	} else {
		dst = dst[:start+size]
	}
	if _, err := m.MarshalToSizedBufferVT(dst[start:]); err != nil {
		return dst[:start], fmt.Errorf("encode link message: %w", err)
	}
	return dst, nil
}

func (h *half[Out]) receive(into message) error {
	record, err := h.in.Read()
	if err != nil {
		return err
	}
	if len(record) <= plainDecode {
		err = into.UnmarshalVT(record)
	} else {
		err = codec.Unmarshal(codec.Protobuf, record, into)
	}
	if err != nil {
		return fmt.Errorf("decode link message: %w", err)
	}
	return nil
}

// Close cuts the link and waits until its goroutine has ended.
func (h *half[Out]) Close() error {
	h.out.Cut()
	<-h.out.Done()
	return nil
}

// End closes the link after what was sent before, without waiting.
func (h *half[Out]) End() { h.out.Close() }

// Stream is the agent's end of a link.
type Stream struct{ half[*link.FromAgent] }

// NewStream takes over a connection on which no upgrade is needed.
func NewStream(conn net.Conn) *Stream { return &Stream{newHalf[*link.FromAgent](conn, nil)} }

// Send queues a message; it fails when the link is gone or the master does not read.
func (s *Stream) Send(m *link.FromAgent) error { return s.out.Put(m) }

// Recv waits for the master's next message.
func (s *Stream) Recv() (*link.FromMaster, error) {
	m := new(link.FromMaster)
	if err := s.receive(m); err != nil {
		return nil, s.because(err)
	}
	return m, nil
}

// Peer is the master's end of a link.
type Peer struct{ half[*link.FromMaster] }

// NewPeer takes over a connection that was upgraded; in holds what was read ahead.
func NewPeer(conn net.Conn, in *bufio.Reader) *Peer {
	conn.SetDeadline(time.Time{})
	return &Peer{newHalf[*link.FromMaster](conn, in)}
}

// Send queues a message; it fails when the link is gone or the agent does not read.
func (p *Peer) Send(m *link.FromMaster) error { return p.out.Put(m) }

// Recv waits for the agent's next message.
func (p *Peer) Recv() (*link.FromAgent, error) {
	m := new(link.FromAgent)
	if err := p.receive(m); err != nil {
		return nil, p.because(err)
	}
	return m, nil
}

// because prefers the outbox's reason: a connection that it cut says only that it is closed.
func (h *half[Out]) because(err error) error {
	if cause := h.out.Err(); cause != nil {
		return cause
	}
	return err
}
