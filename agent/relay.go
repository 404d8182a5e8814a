package agent

import (
	"context"
	"errors"
	"net"
	"sync"

	"agora.dev/agora/agent/core"
	"agora.dev/agora/auth"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/client/agentlink"
)

// maxRelays bounds the requests that the master passes on to this agent at once.
const maxRelays = 128

// RelayDialer gives the leading master a connection that it asked for. A Dialer that is none
// lets the master pass nothing on.
type RelayDialer interface {
	DialRelay(ctx context.Context, token string) (*agentlink.Buffered, error)
}

// DialRelay tries each address once.
func (m masters) DialRelay(ctx context.Context, token string) (*agentlink.Buffered, error) {
	var all error
	for _, address := range m.addresses {
		conn, err := m.dialer.DialRelay(ctx, address, token)
		if err == nil {
			return conn, nil
		}
		all = errors.Join(all, err)
	}
	return nil, all
}

// relays serves the API on connections that lead to the master. It implements net.Listener.
type relays struct {
	dialer RelayDialer
	agent  *Agent
	ctx    context.Context // of Run
	conns  chan net.Conn
	wg     sync.WaitGroup
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newRelays(ctx context.Context, a *Agent) *relays {
	dialer, _ := a.deps.Dialer.(RelayDialer)
	return &relays{dialer: dialer, agent: a, ctx: ctx, conns: make(chan net.Conn), places: make(chan struct{}, maxRelays),
		closed: make(chan struct{})}
}

// open gives the master a connection; one beyond the bound is not given.
func (r *relays) open(asked core.OpenRelay) {
	log := r.agent.deps.Log
	select {
	case r.places <- struct{}{}:
	default:
		log.Warn("request of the master not served: too many at once", "most", maxRelays)
		return
	}
	if r.dialer == nil {
		<-r.places
		return
	}
	r.wg.Go(func() {
		ctx, cancel := context.WithTimeout(r.ctx, dialTimeout)
		defer cancel()
		conn, err := r.dialer.DialRelay(ctx, asked.Token)
		if err == nil {
			placed := &placed{Buffered: conn, who: auth.Named(asked.Principal), leave: func() { <-r.places }}
			select {
			case r.conns <- placed:
				return
			case <-r.closed:
				placed.Close()
				return
			}
		}
		<-r.places
		log.Debug("relay to the master", "error", err)
	})
}

// placed is a connection that gives its place back when it is closed.
type placed struct {
	*agentlink.Buffered
	who   *auth.Principal // who sent what comes over it
	once  sync.Once
	leave func()
}

// Close implements net.Conn.
func (p *placed) Close() error {
	p.once.Do(p.leave)
	return p.Buffered.Close()
}

// vouch marks the requests of a connection with who sent them. The master has authenticated them: this
// agent obeys it in all else; what they may do here is asked here.
func vouch(ctx context.Context, conn net.Conn) context.Context {
	if p, ok := conn.(*placed); ok {
		return guard.Vouch(ctx, p.who)
	}
	return ctx
}

// Accept implements net.Listener.
func (r *relays) Accept() (net.Conn, error) {
	select {
	case conn := <-r.conns:
		return conn, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (r *relays) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

// Addr implements net.Listener.
func (r *relays) Addr() net.Addr { return r.agent.listener.Addr() }

var _ net.Listener = (*relays)(nil)
