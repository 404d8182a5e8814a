package agent

import (
	"fmt"
	"net"
	"strings"

	"agora.dev/agora/agent/httpapi"
	"agora.dev/agora/auth/access"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/internal/flags"
)

func (c *Config) accessFlags(set *flags.Set) {
	c.Access.Flags(set)
	set.Path(&c.Access.Credentials, "http_credentials", "file with operators' principals and secrets: JSON, or a line \"principal secret\" each")
	set.Alias("authorizer", "authorizers")
}

// checkAccess completes the options of who may do what, and refuses an address that strangers reach while
// they are not asked who they are.
func (c *Config) checkAccess(ip net.IP) error {
	if c.Access.Credentials != "" && !c.Access.Readonly && !c.Access.Readwrite {
		c.Access.Readonly, c.Access.Readwrite = true, true // credentials that nobody asks for protect nothing
	}
	missing := c.Access.Missing()
	if ip.IsLoopback() || c.Insecure || len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("refusing to listen on %s without authentication: give %s with --http_credentials, --jwt_secret_key or certificates; or --ip=127.0.0.1; or --insecure to accept the risk",
		c.IP, strings.Join(missing, ", "))
}

// openAccess makes of the options what the API asks. Executors authenticate wherever operators do.
func (a *Agent) openAccess() (err error) {
	realms := access.Realms{Readonly: httpauth.AgentReadonly, Readwrite: httpauth.AgentReadwrite}
	if a.config.AuthenticateHTTPExecutors {
		if a.tokens, err = httpapi.LoadTokens(a.paths.Secret()); err != nil {
			return err
		}
		realms.Also = []httpauth.Authenticator{a.tokens.ForOperators()}
	}
	if a.access, err = a.config.Access.Open(realms, a.deps.Log); err != nil {
		return err
	}
	if err := a.access.Firewall.Resolve(httpapi.Route); err != nil {
		return fmt.Errorf("--firewall_rules: %w", err)
	}
	if a.config.servesTLS() {
		if a.listener, err = a.config.Access.Listener(a.listener, a.access.TLS); err != nil {
			return err
		}
	}
	if ip := net.ParseIP(a.config.IP); !ip.IsLoopback() && !a.config.servesTLS() && len(a.config.Access.Missing()) < 2 {
		a.deps.Log.Warn("credentials travel in clear text; use --ssl_cert_file and --ssl_key_file", "address", a.Address())
	}
	return nil
}

// servesTLS: without a certificate only the link is TLS.
func (c *Config) servesTLS() bool { return c.Access.TLS.CertFile != "" }

// executorTLS tells custom executors how the API is reached, in the variables that Mesos has for it.
func (c *Config) executorTLS() map[string]string {
	if !c.servesTLS() {
		return nil
	}
	out := map[string]string{"LIBPROCESS_SSL_ENABLED": "true", "LIBPROCESS_SSL_VERIFY_SERVER_CERT": fmt.Sprint(c.Access.TLS.VerifyServerCert)}
	if c.Access.TLS.CAFile != "" {
		out["LIBPROCESS_SSL_CA_FILE"] = c.Access.TLS.CAFile
	}
	return out
}

// guarded is what the API's guard is made of.
func (a *Agent) guarded() guard.Access {
	o := a.access
	return guard.Access{Readonly: o.Readonly, Readwrite: o.Readwrite, ACLs: o.ACLs, Limits: o.Limits, Firewall: o.Firewall, Audit: o.Audit}
}
