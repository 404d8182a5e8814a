package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	link "agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/auth/tlsconfig"
	"agora.dev/agora/client/agentlink"
)

// masters dials the first of several addresses that leads.
type masters struct {
	addresses []string
	dialer    agentlink.Dialer
}

// DialMasters finds the leader among "HOST:PORT,HOST:PORT"; a master that does not lead
// says who does.
func DialMasters(list string) (Dialer, error) { return dialMasters(list, agentlink.Dialer{}) }

func dialMasters(list string, dialer agentlink.Dialer) (Dialer, error) {
	m := masters{dialer: dialer}
	for address := range strings.SplitSeq(list, ",") {
		address = strings.TrimSpace(address)
		if strings.Contains(address, "://") {
			return nil, fmt.Errorf("--master=%s: detection over %s is not supported; give HOST:PORT", list, address[:strings.Index(address, "://")])
		}
		if address == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			address = net.JoinHostPort(strings.Trim(address, "[]"), "5050")
		}
		m.addresses = append(m.addresses, address)
	}
	if len(m.addresses) == 0 {
		return nil, errors.New("--master is missing: name a master as HOST:PORT")
	}
	return m, nil
}

// dialer is how the agent shows the master who it is, and whether by TLS.
func (c *Config) dialer() (agentlink.Dialer, error) {
	var dialer agentlink.Dialer
	if c.Credential != "" {
		principal, secret, err := httpauth.ReadCredential(c.Credential)
		if err != nil {
			return dialer, fmt.Errorf("--credential: %w", err)
		}
		dialer.Authorization = httpauth.BasicHeader(principal, secret)
	}
	if c.Access.TLS.On() {
		source, err := tlsconfig.Open(c.Access.TLS)
		if err != nil {
			return dialer, err
		}
		dialer.TLS = source.Client
	}
	return dialer, nil
}

// Dial tries each address once.
func (m masters) Dial(ctx context.Context) (Link, error) {
	var all error
	for _, address := range m.addresses {
		stream, err := m.dialer.Dial(ctx, address)
		if err == nil {
			return masterLink{stream}, nil
		}
		all = errors.Join(all, err)
	}
	return nil, all
}

type masterLink struct{ stream *agentlink.Stream }

func (l masterLink) Send(m *link.FromAgent) error    { return l.stream.Send(m) }
func (l masterLink) Recv() (*link.FromMaster, error) { return l.stream.Recv() }
func (l masterLink) Close() error                    { return l.stream.Close() }
