package master

import (
	"fmt"
	"net"
	"strings"

	"agora.dev/agora/auth/access"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/master/httpapi"
)

// AccessConfig says who is let in, and to what.
type AccessConfig struct {
	access.Options
	// Frameworks and Agents have to prove who they are.
	Frameworks, Agents bool
	// v0Frameworks is Mesos's option for frameworks of the older API, which we have none of.
	v0Frameworks bool
}

func (c *AccessConfig) flags(s *flags.Set) {
	c.Options.Flags(s)
	s.Path(&c.Credentials, "credentials", "File with principals and secrets: JSON, or a line \"principal secret\" each.")
	s.Alias("http_credentials", "credentials")
	s.Bool(&c.Frameworks, "authenticate_http_frameworks", "Ask frameworks for credentials.")
	s.Bool(&c.v0Frameworks, "authenticate_frameworks", "As --authenticate_http_frameworks: there is no other API for frameworks.")
	s.Alias("authenticate", "authenticate_frameworks")
	s.Bool(&c.Agents, "authenticate_agents", "Ask agents for credentials.")
	s.Alias("authenticate_slaves", "authenticate_agents")
	s.Alias("http_framework_authenticators", "http_authenticators")
}

func (c *AccessConfig) frameworks() bool { return c.Frameworks || c.v0Frameworks }

// missing lists the options without which not everybody is asked who they are.
func (c *AccessConfig) missing() []string {
	out := c.Missing()
	if !c.frameworks() {
		out = append(out, "--authenticate_http_frameworks")
	}
	if !c.Agents {
		out = append(out, "--authenticate_agents")
	}
	return out
}

// checkListen refuses an address that strangers reach while they are not asked who they are.
func (c *Config) checkListen(ip net.IP) error {
	missing := c.Access.missing()
	if ip.IsLoopback() || c.Insecure || len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("refusing to listen on %s without authentication: give %s with --credentials, --jwt_secret_key or certificates; or --ip=127.0.0.1; or --insecure to accept the risk",
		c.IP, strings.Join(missing, ", "))
}

// open makes of the options what the edge asks.
func (m *Master) openAccess() error {
	opened, err := m.cfg.Access.Open(access.Realms{Readonly: httpauth.MasterReadonly, Readwrite: httpauth.MasterReadwrite}, m.log)
	if err != nil {
		return err
	}
	m.access = guard.Access{Readonly: opened.Readonly, Readwrite: opened.Readwrite, ACLs: opened.ACLs, Limits: opened.Limits, Firewall: opened.Firewall, Audit: opened.Audit}
	m.closeAccess = opened.Close
	if err := opened.Firewall.Resolve(httpapi.Route); err != nil {
		return fmt.Errorf("--firewall_rules: %w", err)
	}
	if m.access.Scheduler, err = opened.Realm(httpauth.MasterScheduler, m.cfg.Access.frameworks()); err != nil {
		return err
	}
	if m.access.Agent, err = opened.Realm(httpauth.MasterAgent, m.cfg.Access.Agents); err != nil {
		return err
	}
	listener, err := m.cfg.Access.Listener(m.listener, opened.TLS)
	if err != nil {
		return err
	}
	m.listener = listener
	return nil
}

// warnClear says when secrets would travel in clear text beyond this machine.
func (m *Master) warnClear() {
	if ip := net.ParseIP(m.cfg.IP); !ip.IsLoopback() && !m.cfg.Access.TLS.On() && len(m.cfg.Access.missing()) < 4 {
		m.log.Warn("credentials travel in clear text; use --ssl_cert_file and --ssl_key_file", "address", m.Addr())
	}
}
