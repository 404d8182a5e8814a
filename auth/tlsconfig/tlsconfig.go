// Package tlsconfig reads keys and certificates and makes TLS configurations of them.
//
// It owns the options of TLS, which have the names of Mesos's LIBPROCESS_SSL_ variables, and an
// authority that issues certificates in process. It promises TLS 1.2 or newer, host names checked,
// sessions resumed, and files that are read again when they change. It refuses to fall back to
// plain text.
package tlsconfig

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"agora.dev/agora/internal/flags"
)

// Options say where keys and certificates are.
type Options struct {
	// Enabled serves and dials by TLS; also set by naming a certificate.
	Enabled bool
	// CertFile and KeyFile are PEM: the certificate with what leads to its root, and its key.
	CertFile, KeyFile string
	// CAFile holds the roots (PEM) that others' certificates are checked against; empty: the system's.
	CAFile string
	// RequireClientCert refuses connections without a certificate. Without it one is asked for, and
	// checked when it comes.
	RequireClientCert bool
	// VerifyServerCert checks whom a connection was made to, its host name included.
	VerifyServerCert bool
}

// Flags defines the options over o. Each is also read from Mesos's LIBPROCESS_SSL_ variable of
// that name.
func (o *Options) Flags(set *flags.Set) {
	set.Bool(&o.Enabled, "ssl_enabled", "Serve and dial by TLS; implied by --ssl_cert_file.")
	set.Path(&o.CertFile, "ssl_cert_file", "Certificate of this machine, with its chain (PEM).")
	set.Path(&o.KeyFile, "ssl_key_file", "Key of the certificate (PEM).")
	set.Path(&o.CAFile, "ssl_ca_file", "Roots that certificates of others are checked against (PEM); the system's if not given.")
	set.Bool(&o.RequireClientCert, "ssl_require_client_cert", "Refuse connections without a certificate of --ssl_ca_file.")
	set.Bool(&o.VerifyServerCert, "ssl_verify_server_cert", "Check whom a connection was made to, its host name included.")
	set.Alias("ssl_require_cert", "ssl_require_client_cert")
	set.Alias("ssl_verify_cert", "ssl_verify_server_cert")
	for _, name := range []string{"ssl_enabled", "ssl_cert_file", "ssl_key_file", "ssl_ca_file",
		"ssl_require_client_cert", "ssl_verify_server_cert", "ssl_require_cert", "ssl_verify_cert"} {
		set.Environment("LIBPROCESS_", name)
	}
}

// On says whether TLS is used.
func (o Options) On() bool { return o.Enabled || o.CertFile != "" }

// Source makes configurations and keeps them fresh. Make it with Open.
type Source struct {
	options  Options
	sessions tls.ClientSessionCache

	mu      sync.Mutex
	looked  time.Time
	stamps  [3]stamp
	pair    *tls.Certificate
	roots   *x509.CertPool
	servers *tls.Config // for one connection; made anew when a file changed
}

// stamp tells versions of a file apart.
type stamp struct {
	at   time.Time
	size int64
}

// lookEvery is how often files are looked at, at most.
const lookEvery = 5 * time.Second

// resumable is how many sessions a client remembers.
const resumable = 1024

// Open reads what options name. Without a certificate only clients can be configured.
func Open(options Options) (*Source, error) {
	switch {
	case (options.CertFile == "") != (options.KeyFile == ""):
		return nil, errors.New("--ssl_cert_file and --ssl_key_file belong together")
	case options.RequireClientCert && options.CAFile == "":
		return nil, errors.New("--ssl_require_client_cert needs --ssl_ca_file, the roots of the clients' certificates")
	}
	s := &Source{options: options, sessions: tls.NewLRUClientSessionCache(resumable)}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s, s.read()
}

// read loads the files. The lock is held.
func (s *Source) read() error {
	s.stamps = s.current()
	s.looked = time.Now()
	pair, roots, err := s.load()
	if err != nil {
		return err
	}
	s.pair, s.roots = pair, roots
	s.servers = s.server()
	return nil
}

func (s *Source) load() (pair *tls.Certificate, roots *x509.CertPool, err error) {
	if s.options.CertFile != "" {
		loaded, err := tls.LoadX509KeyPair(s.options.CertFile, s.options.KeyFile)
		if err != nil {
			return nil, nil, fmt.Errorf("read certificate %s and key %s: %w", s.options.CertFile, s.options.KeyFile, err)
		}
		pair = &loaded
	}
	if s.options.CAFile != "" {
		text, err := os.ReadFile(s.options.CAFile)
		if err != nil {
			return nil, nil, fmt.Errorf("read roots: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, nil, fmt.Errorf("read roots: no certificate in %s", s.options.CAFile)
		}
	}
	return pair, roots, nil
}

func (s *Source) current() (all [3]stamp) {
	for i, path := range []string{s.options.CertFile, s.options.KeyFile, s.options.CAFile} {
		if info, err := os.Stat(path); path != "" && err == nil {
			all[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return all
}

// refresh reads the files again if they changed. What cannot be read leaves what was: a rotation
// replaces several files, one after the other.
func (s *Source) refresh() {
	if time.Since(s.looked) < lookEvery {
		return
	}
	s.looked = time.Now()
	now := s.current()
	if now == s.stamps {
		return
	}
	if pair, roots, err := s.load(); err == nil {
		s.stamps, s.pair, s.roots = now, pair, roots
		s.servers = s.server()
	}
}

// server makes the configuration of one accepted connection. The lock is held.
func (s *Source) server() *tls.Config {
	if s.pair == nil {
		return nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*s.pair},
		// Streams are hijacked connections, which HTTP/2 does not have.
		NextProtos: []string{"http/1.1"}}
	if s.roots != nil {
		config.ClientCAs, config.ClientAuth = s.roots, tls.VerifyClientCertIfGiven
	}
	if s.options.RequireClientCert {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config
}

// Server is the configuration of a listener, nil without a certificate. Its session tickets outlive
// a change of the files.
func (s *Source) Server() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.servers == nil {
		return nil
	}
	outer := s.servers.Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refresh()
		return s.servers, nil
	}
	return outer
}

// Client is the configuration for dialling, with the files as they are now. All of a source resume
// each other's sessions.
func (s *Source) Client() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.roots, ClientSessionCache: s.sessions,
		InsecureSkipVerify: !s.options.VerifyServerCert, NextProtos: []string{"http/1.1"},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.refresh()
			if s.pair == nil {
				return &tls.Certificate{}, nil
			}
			return s.pair, nil
		}}
}
