package cli

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/auth/tlsconfig"
	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/client/scheduler"
)

// security is how commands show who they are, and whom they believe.
type security struct {
	principal, secret, token string
	tls, skipVerify          bool
	ca, cert, key            string

	client *http.Client // made once
	config *tls.Config  // nil: plain text
}

func (s *security) flags(flags *pflag.FlagSet) {
	flags.StringVar(&s.principal, "principal", "", "name to authenticate as (default $AGORA_PRINCIPAL)")
	flags.StringVar(&s.secret, "secret", "", "secret of the principal, or file:///PATH of it (default $AGORA_SECRET, which is not seen by others)")
	flags.StringVar(&s.token, "token", "", "bearer token to authenticate with, or file:///PATH of it (default $AGORA_TOKEN)")
	flags.BoolVar(&s.tls, "tls", false, "speak TLS; implied by the other options and by an address with https://")
	flags.StringVar(&s.ca, "tls-ca", "", "file with the roots of the cluster's certificates (default $AGORA_TLS_CA, else the system's)")
	flags.StringVar(&s.cert, "tls-cert", "", "file with the certificate to authenticate with (default $AGORA_TLS_CERT)")
	flags.StringVar(&s.key, "tls-key", "", "file with its key (default $AGORA_TLS_KEY)")
	flags.BoolVar(&s.skipVerify, "tls-skip-verify", false, "do not check whom the connection was made to")
}

// complete fills what was not given from the environment, and makes the client.
func (s *security) complete(env func(string) string) error {
	if env == nil {
		env = func(string) string { return "" }
	}
	for _, o := range []struct {
		into *string
		name string
	}{{&s.principal, "AGORA_PRINCIPAL"}, {&s.secret, "AGORA_SECRET"}, {&s.token, "AGORA_TOKEN"},
		{&s.ca, "AGORA_TLS_CA"}, {&s.cert, "AGORA_TLS_CERT"}, {&s.key, "AGORA_TLS_KEY"}} {
		if *o.into == "" {
			*o.into = env(o.name)
		}
	}
	for _, secret := range []*string{&s.secret, &s.token} {
		if path, ok := strings.CutPrefix(*secret, "file://"); ok {
			text, err := os.ReadFile(path)
			if err != nil {
				return usagef("%v", err)
			}
			*secret = strings.TrimSpace(string(text))
		}
	}
	if (s.principal == "") != (s.secret == "") {
		return usagef("a principal and its secret belong together: give --principal and --secret, or $AGORA_PRINCIPAL and $AGORA_SECRET")
	}
	if s.ca != "" || s.cert != "" || s.key != "" || s.skipVerify {
		s.tls = true
	}
	if s.tls {
		source, err := tlsconfig.Open(tlsconfig.Options{CAFile: s.ca, CertFile: s.cert, KeyFile: s.key, VerifyServerCert: !s.skipVerify})
		if err != nil {
			return usagef("%s", strings.NewReplacer("--ssl_cert_file", "--tls-cert", "--ssl_key_file", "--tls-key").Replace(err.Error()))
		}
		s.config = source.Client()
	}
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, TLSClientConfig: s.config,
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second}
	s.client = &http.Client{Transport: &authorized{transport, s.authorization(), s.scheme()}}
	return nil
}

// authorization is the header of that name, empty for none.
func (s *security) authorization() string {
	switch {
	case s.token != "":
		return "Bearer " + s.token
	case s.principal != "":
		return httpauth.BasicHeader(s.principal, s.secret)
	}
	return ""
}

func (s *security) scheme() string {
	if s.tls {
		return "https"
	}
	return "http"
}

// authorized adds the credential to requests, and keeps it off plain text once TLS is wanted.
type authorized struct {
	next          http.RoundTripper
	authorization string
	scheme        string
}

var errPlain = errors.New("the answer leads to an address in plain text; the credential is not sent there")

// RoundTrip implements http.RoundTripper.
func (t *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.authorization == "" {
		return t.next.RoundTrip(r)
	}
	if t.scheme == "https" && r.URL.Scheme != "https" {
		return nil, errPlain
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", t.authorization)
	return t.next.RoundTrip(r)
}

// http is the client of all requests of commands.
func (a *App) http() *http.Client {
	if a.security.client == nil {
		return http.DefaultClient
	}
	return a.security.client
}

// url is an address with the scheme of this cluster.
func (a *App) url(addr string) string { return a.security.scheme() + "://" + addr }

// schedulerConfig is how a framework of ours reaches the master at addr.
func (a *App) schedulerConfig(addr string) scheduler.Config {
	return scheduler.Config{Masters: []string{a.url(addr)}, Authorization: a.security.authorization(), TLS: a.security.config}
}

// dialer opens links of simulated agents, which share one cache of TLS sessions.
func (s *security) dialer() agentlink.Dialer {
	d := agentlink.Dialer{Authorization: s.authorization()}
	if s.config != nil {
		d.TLS = func() *tls.Config { return s.config }
	}
	return d
}
