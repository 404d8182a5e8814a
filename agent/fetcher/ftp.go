package fetcher

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/jlaffaye/ftp"
)

// ftp downloads over FTP in passive mode, as anonymous or as the URI's user. The data comes
// from the server that was asked, whatever it says, and both connections are checked when
// they are dialled.
func (f *Fetcher) ftp(ctx context.Context, item item, file *os.File) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := f.stallTimer(cancel)
	defer stalled.Stop()
	address := item.url.Host
	if item.url.Port() == "" {
		address = net.JoinHostPort(item.url.Hostname(), "21")
	}
	// The library waits without a context for most of its answers: closed connections end it.
	var open connections
	stop := context.AfterFunc(ctx, open.close)
	defer stop()
	defer open.close()
	server, err := ftp.Dial(address, ftp.DialWithDialFunc(func(network, address string) (net.Conn, error) {
		return open.dial(ctx, network, address)
	}))
	if err != nil {
		return cause(ctx, err)
	}
	user, password := "anonymous", "anonymous"
	if item.url.User != nil {
		user = item.url.User.Username()
		password, _ = item.url.User.Password()
	}
	if err := server.Login(user, password); err != nil {
		return cause(ctx, fmt.Errorf("log in: %w", err))
	}
	body, err := server.Retr(strings.TrimPrefix(item.url.Path, "/"))
	if err != nil {
		return cause(ctx, err)
	}
	err = f.copy(file, body, stalled, f.config.FileBytes)
	if err == nil {
		err = body.Close() // it says whether all has come
	}
	return cause(ctx, err)
}

// connections are closed together.
type connections struct {
	mu     sync.Mutex
	open   []net.Conn
	closed bool
}

func (c *connections) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dialer().DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	c.open = append(c.open, conn)
	return conn, nil
}

func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.open {
		conn.Close()
	}
	c.open, c.closed = nil, true
}
