// Package access holds the options of who may do what that masters and agents share, and makes realms,
// ACLs, limits and the audit log of them.
//
// It owns the names of these options, which are Mesos's where Mesos has the option. It promises that
// an option which cannot be kept is an error at the start. It refuses to guess: a realm asks for
// credentials only when its option says so.
package access

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"

	"agora.dev/agora/auth"
	"agora.dev/agora/auth/audit"
	"agora.dev/agora/auth/firewall"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/auth/ratelimit"
	"agora.dev/agora/auth/tlsconfig"
	"agora.dev/agora/internal/flags"
)

// Options are what masters and agents share.
type Options struct {
	// Credentials is the path of the principals and secrets that Basic believes.
	Credentials string
	// Authenticators are the means: basic, jwt, certificate; empty: each that is configured.
	Authenticators []string
	// TokenKeys are paths of the keys that bearer tokens are signed with, the newest first.
	TokenKeys                  []string
	TokenIssuer, TokenAudience string
	// Readonly and Readwrite ask for credentials in the two realms of that name.
	Readonly, Readwrite bool
	// ACLs is a document, or the path of one. Permissive is meant where it says nothing of it.
	ACLs        string
	Authorizers []string
	Permissive  bool
	// RateLimits and Firewall are documents, or the paths of them.
	RateLimits, Firewall string
	// AuditLog is a file for the audit log; empty: it goes to the log.
	AuditLog string
	TLS      tlsconfig.Options
}

// Default are options that ask nobody and allow everything.
func Default() Options {
	return Options{Permissive: true, TLS: tlsconfig.Options{VerifyServerCert: true}}
}

// Flags defines the shared options over o.
func (o *Options) Flags(set *flags.Set) {
	set.List(&o.Authenticators, "http_authenticators", "Means of authentication, asked in order: basic, jwt, certificate. Each that is configured if not given.")
	set.List(&o.TokenKeys, "jwt_secret_key", "Files with the keys of bearer tokens (HS256, at least 32 bytes), the newest first.")
	set.String(&o.TokenIssuer, "jwt_issuer", "Issuer that bearer tokens have to name.")
	set.String(&o.TokenAudience, "jwt_audience", "Audience that bearer tokens have to name.")
	set.Bool(&o.Readonly, "authenticate_http_readonly", "Ask for credentials where something is only shown.")
	set.Bool(&o.Readwrite, "authenticate_http_readwrite", "Ask for credentials where something can be changed.")
	set.String(&o.ACLs, "acls", "Who may do what: a JSON document, or the file that holds it.")
	set.List(&o.Authorizers, "authorizers", "Accepted for compatibility: local, which is --acls.")
	set.Bool(&o.Permissive, "permissive", "Allow what no rule of --acls matches, where the document says nothing of it.")
	set.String(&o.Firewall, "firewall_rules", `Endpoints that are off: {"disabled_endpoints":{"paths":["/files/browse"]}}, or the file that holds it.`)
	set.String(&o.RateLimits, "rate_limits", "Rates of principals: a JSON document, or the file that holds it.")
	set.Path(&o.AuditLog, "audit_log", "File for the audit log, one JSON object a line; if not given it goes to the log.")
	o.TLS.Flags(set)
}

// Open is what options come to.
type Open struct {
	Readonly, Readwrite *httpauth.Realm
	ACLs                *auth.ACLs
	Limits              *ratelimit.Limits
	Firewall            *firewall.Rules
	Audit               *audit.Log
	TLS                 *tlsconfig.Source

	authenticators []httpauth.Authenticator
	file           *os.File
}

// Realms names the two realms of a component.
type Realms struct {
	Readonly, Readwrite string
	// Also are asked last, in both.
	Also []httpauth.Authenticator
}

// Open reads the files. Close the result.
func (o *Options) Open(realms Realms, log *slog.Logger) (*Open, error) {
	out := &Open{}
	var err error
	if out.TLS, err = tlsconfig.Open(o.TLS); err != nil {
		return nil, err
	}
	if out.authenticators, err = o.authenticators(); err != nil {
		return nil, err
	}
	if out.ACLs, err = o.acls(); err != nil {
		return nil, err
	}
	if out.Limits, err = parsed("rate_limits", o.RateLimits, ratelimit.Parse); err != nil {
		return nil, err
	}
	if out.Firewall, err = parsed("firewall_rules", o.Firewall, firewall.Parse); err != nil {
		return nil, err
	}
	if out.Readonly, err = out.Realm(realms.Readonly, o.Readonly, realms.Also...); err != nil {
		return nil, err
	}
	if out.Readwrite, err = out.Realm(realms.Readwrite, o.Readwrite, realms.Also...); err != nil {
		return nil, err
	}
	return out, out.openAudit(o.AuditLog, log)
}

// Realm makes a realm that asks by all means that are configured, and then by others, or nil when it is
// not wanted.
func (p *Open) Realm(name string, wanted bool, also ...httpauth.Authenticator) (*httpauth.Realm, error) {
	if !wanted {
		return nil, nil
	}
	if len(p.authenticators) == 0 {
		return nil, fmt.Errorf("the realm %s is to ask for credentials, and none are configured: give a credentials file, --jwt_secret_key or --ssl_ca_file", name)
	}
	return httpauth.NewRealm(name, append(slices.Clone(p.authenticators), also...)...), nil
}

// Listener serves by TLS when the options say so, and needs a certificate then.
func (o *Options) Listener(plain net.Listener, source *tlsconfig.Source) (net.Listener, error) {
	if !o.TLS.On() {
		return plain, nil
	}
	config := source.Server()
	if config == nil {
		return nil, errors.New("--ssl_enabled needs --ssl_cert_file and --ssl_key_file")
	}
	return tls.NewListener(plain, config), nil
}

// Missing lists the options of the two realms that ask nobody.
func (o *Options) Missing() []string {
	var out []string
	if !o.Readonly {
		out = append(out, "--authenticate_http_readonly")
	}
	if !o.Readwrite {
		out = append(out, "--authenticate_http_readwrite")
	}
	return out
}

func (p *Open) openAudit(path string, log *slog.Logger) (err error) {
	p.Audit = audit.New(log)
	if path == "" {
		return nil
	}
	if p.file, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return fmt.Errorf("--audit_log: %w", err)
	}
	p.Audit = audit.New(slog.New(slog.NewJSONHandler(p.file, nil)))
	return nil
}

// Close closes the audit log.
func (p *Open) Close() {
	if p != nil && p.file != nil {
		p.file.Close()
	}
}

// means are the names of --http_authenticators, in the order in which they are asked.
var means = []string{"basic", "jwt", "certificate"}

func (o *Options) authenticators() ([]httpauth.Authenticator, error) {
	configured := map[string]bool{"basic": o.Credentials != "", "jwt": len(o.TokenKeys) > 0,
		"certificate": o.TLS.CertFile != "" && o.TLS.CAFile != ""}
	names := o.Authenticators
	for _, name := range means {
		if len(o.Authenticators) == 0 && configured[name] {
			names = append(names, name)
		}
	}
	var out []httpauth.Authenticator
	for _, name := range names {
		one, err := o.authenticator(name)
		switch {
		case !slices.Contains(means, name):
			return nil, fmt.Errorf("--http_authenticators: %q is none of %s", name, strings.Join(means, ", "))
		case !configured[name]:
			return nil, fmt.Errorf("--http_authenticators: %s is not configured: basic needs a credentials file, jwt --jwt_secret_key, certificate --ssl_cert_file and --ssl_ca_file", name)
		case err != nil:
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

func (o *Options) authenticator(name string) (httpauth.Authenticator, error) {
	switch {
	case name == "basic" && o.Credentials != "":
		credentials, err := httpauth.ReadCredentials(o.Credentials)
		if err == nil && len(credentials) == 0 {
			err = fmt.Errorf("credentials %s: there is none in it", o.Credentials)
		}
		return httpauth.NewBasic(credentials), err
	case name == "jwt" && len(o.TokenKeys) > 0:
		config := httpauth.BearerConfig{Issuer: o.TokenIssuer, Audience: o.TokenAudience}
		for _, path := range o.TokenKeys {
			key, err := httpauth.ReadKey(strings.TrimPrefix(path, "file://"))
			if err != nil {
				return nil, fmt.Errorf("--jwt_secret_key: %w", err)
			}
			config.Keys = append(config.Keys, key)
		}
		return httpauth.NewBearer(config)
	}
	return httpauth.Certificate{}, nil
}

func (o *Options) acls() (*auth.ACLs, error) {
	for _, name := range o.Authorizers {
		if name != "local" {
			return nil, fmt.Errorf("--authorizers: %q is not there; local, which is --acls, is", name)
		}
	}
	if o.ACLs == "" {
		return auth.Permissive(o.Permissive), nil
	}
	text, err := document(o.ACLs)
	if err != nil {
		return nil, fmt.Errorf("--acls: %w", err)
	}
	acls, err := auth.ParseACLsOver(text, o.Permissive)
	if err != nil {
		return nil, fmt.Errorf("--acls: %w", err)
	}
	return acls, nil
}

// parsed reads the document of an option; nil when there is none.
func parsed[T any](option, value string, parse func([]byte) (*T, error)) (*T, error) {
	if value == "" {
		return nil, nil
	}
	text, err := document(value)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", option, err)
	}
	out, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", option, err)
	}
	return out, nil
}

// maxDocument bounds a file of rules, in bytes.
const maxDocument = 16 << 20

// document gives the JSON of an option: itself, or what the file holds that it names.
func document(value string) ([]byte, error) {
	if strings.HasPrefix(strings.TrimSpace(value), "{") {
		return []byte(value), nil
	}
	path := strings.TrimPrefix(value, "file://")
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxDocument {
		return nil, errors.New(path + " is not a file of rules")
	}
	return os.ReadFile(path)
}
