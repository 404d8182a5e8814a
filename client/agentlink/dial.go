package agentlink

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"agora.dev/agora/api/agora/link/v1"
)

// ErrNotLeader says that the master that was dialled does not lead.
var ErrNotLeader = errors.New("master does not lead")

// RefusedError is an answer other than the upgrade.
type RefusedError struct {
	Address string
	Status  int
	Text    string
	// Leader is where the master says that the leader is, "host:port", if it does.
	Leader string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("link to master %s refused: %d %s", e.Address, e.Status, e.Text)
}

// Is makes errors.Is(err, ErrNotLeader) hold for redirects and 503.
func (e *RefusedError) Is(target error) bool {
	return target == ErrNotLeader && (e.Leader != "" || e.Status == http.StatusServiceUnavailable)
}

// Dialer opens links. The zero value is good: plain text, without a credential.
type Dialer struct {
	// Local is the address to dial from; nil: the machine chooses. One address has room for
	// some 28,000 connections to one master.
	Local net.Addr
	// TLS, unless nil, gives the configuration of one connection; all should share a session cache, so
	// that agents which return do not each need a full handshake.
	TLS func() *tls.Config
	// Authorization is sent as the header of that name; empty sends none.
	Authorization string
}

// Dial opens a link with a zero Dialer.
func Dial(ctx context.Context, address string) (*Stream, error) {
	return Dialer{}.Dial(ctx, address)
}

// Dial opens a link to the master at address, "host:port", following at most one redirect to
// the leader.
func (d Dialer) Dial(ctx context.Context, address string) (*Stream, error) {
	s, err := d.dialOnce(ctx, address)
	var refused *RefusedError
	if errors.As(err, &refused) && refused.Leader != "" {
		return d.dialOnce(ctx, refused.Leader)
	}
	return s, err
}

// connect dials, and shakes hands if that is wanted.
func (d Dialer) connect(ctx context.Context, address string) (net.Conn, error) {
	dialer := &net.Dialer{LocalAddr: d.Local}
	if d.TLS == nil {
		return dialer.DialContext(ctx, "tcp", address)
	}
	return (&tls.Dialer{NetDialer: dialer, Config: d.TLS()}).DialContext(ctx, "tcp", address)
}

func (d Dialer) dialOnce(ctx context.Context, address string) (*Stream, error) {
	conn, in, err := d.open(ctx, address, Path, Protocol, "")
	if err != nil {
		return nil, err
	}
	return &Stream{newHalf[*link.FromAgent](conn, in)}, nil
}

// open connects to a master and changes to a protocol; header are more lines of the request.
func (d Dialer) open(ctx context.Context, address, path, protocol, header string) (net.Conn, *bufio.Reader, error) {
	if d.Authorization != "" {
		header += "Authorization: " + d.Authorization + "\r\n"
	}
	conn, err := d.connect(ctx, address)
	if err != nil {
		return nil, nil, fmt.Errorf("link to master %s: %w", address, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	in, err := upgrade(conn, address, path, protocol, header)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, in, nil
}

// maxRefusal bounds how much of a refusal's text is read.
const maxRefusal = 4 << 10

func upgrade(conn net.Conn, address, path, protocol, header string) (*bufio.Reader, error) {
	request := "POST " + path + " HTTP/1.1\r\nHost: " + address + "\r\nConnection: Upgrade\r\nUpgrade: " + protocol +
		"\r\n" + header + "Content-Length: 0\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, fmt.Errorf("link to master %s: %w", address, err)
	}
	in := bufio.NewReaderSize(conn, 4<<10)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, fmt.Errorf("link to master %s: %w", address, err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
		return nil, &RefusedError{Address: address, Status: response.StatusCode,
			Text: strings.TrimSpace(string(text)), Leader: leaderOf(response)}
	}
	return in, nil
}

func leaderOf(response *http.Response) string {
	if response.StatusCode != http.StatusTemporaryRedirect {
		return ""
	}
	host := strings.TrimPrefix(response.Header.Get("Location"), "//")
	host, _, _ = strings.Cut(host, "/")
	return host
}
