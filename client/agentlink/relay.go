package agentlink

import (
	"bufio"
	"context"
	"errors"
	"net"
	"time"
)

// RelayPath, RelayProtocol and RelayToken are the request by which an agent gives the master a
// connection to pass requests on: OpenRelay in link.proto.
const (
	RelayPath     = "/api/agora/relay"
	RelayProtocol = "agora-relay/1"
	RelayToken    = "Agora-Relay-Token"
)

// DialRelay opens a relay to the master at address that asked for it by token, following at most
// one redirect to the leader. What comes over it are requests.
func (d Dialer) DialRelay(ctx context.Context, address, token string) (*Buffered, error) {
	conn, err := d.dialRelayOnce(ctx, address, token)
	var refused *RefusedError
	if errors.As(err, &refused) && refused.Leader != "" {
		return d.dialRelayOnce(ctx, refused.Leader, token)
	}
	return conn, err
}

func (d Dialer) dialRelayOnce(ctx context.Context, address, token string) (*Buffered, error) {
	conn, in, err := d.open(ctx, address, RelayPath, RelayProtocol, RelayToken+": "+token+"\r\n")
	if err != nil {
		return nil, err
	}
	return NewBuffered(conn, in), nil
}

// Buffered is a connection some of whose input was read ahead.
type Buffered struct {
	net.Conn
	in *bufio.Reader
}

// NewBuffered takes over a connection without deadlines; in holds what was read ahead.
func NewBuffered(conn net.Conn, in *bufio.Reader) *Buffered {
	_ = conn.SetDeadline(time.Time{})
	return &Buffered{conn, in}
}

// Read implements net.Conn.
func (b *Buffered) Read(p []byte) (int, error) { return b.in.Read(p) }

// CloseWrite ends what we send, where the connection can do that; else it is closed.
func (b *Buffered) CloseWrite() error {
	if half, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return b.Close()
}
