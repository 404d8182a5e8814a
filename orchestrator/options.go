package orchestrator

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/auth/tlsconfig"
	"agora.dev/agora/internal/flags"
)

// Options are those of an orchestrator that runs by itself, under Marathon's names where it has the option.
type Options struct {
	// Master is HOST:PORT of one or more masters, separated by commas.
	Master string
	// IP and Port are where the HTTP API is served; Hostname is what the master is told of it.
	IP       string
	Port     int
	Hostname string
	WorkDir  string

	Name, Role, User, BridgeName string
	FailoverTimeout              int // seconds

	// HTTPCredentials is user:password of the HTTP API; Credentials is a file of several.
	HTTPCredentials, Credentials string
	// Principal and SecretFile authenticate the framework.
	Principal, SecretFile string
	// TLS serves the API, where there is a certificate, and reaches the master.
	TLS      tlsconfig.Options
	Insecure bool
}

// DefaultOptions are those that Marathon has when none is given.
func DefaultOptions() Options {
	return Options{IP: "127.0.0.1", Port: 8080, Name: "marathon", Role: "*", User: "root", BridgeName: "mesos-bridge", FailoverTimeout: 604800,
		TLS: tlsconfig.Options{VerifyServerCert: true}}
}

// Flags binds the options.
func (o *Options) Flags(set *flags.Set) {
	set.String(&o.Master, "master", "HOST:PORT of a master; several are separated by commas")
	set.String(&o.IP, "http_address", "address to serve the HTTP API on")
	set.Int(&o.Port, "http_port", "port of the HTTP API")
	set.String(&o.Hostname, "hostname", "name of this machine, as others reach it; default: the machine's")
	set.Path(&o.WorkDir, "work_dir", "directory of the apps and their instances")
	set.String(&o.Name, "framework_name", "name of the framework")
	set.String(&o.Role, "mesos_role", "role of the framework")
	set.String(&o.User, "mesos_user", "user of apps that name none")
	set.String(&o.BridgeName, "mesos_bridge_name", "network of apps in mode container/bridge")
	set.Int(&o.FailoverTimeout, "failover_timeout", "seconds for which the master keeps the tasks while this process is away")
	set.String(&o.HTTPCredentials, "http_credentials", "user:password that the HTTP API asks for, best as file:///PATH").Secret = true
	set.Path(&o.Credentials, "credentials", "file with several users of the HTTP API: JSON, or a line \"principal secret\" each")
	set.String(&o.Principal, "mesos_authentication_principal", "principal of the framework")
	set.Path(&o.SecretFile, "mesos_authentication_secret_file", "file with the principal's secret")
	set.Bool(&o.Insecure, "insecure", "listen on other addresses than loopback without authentication")
	o.TLS.Flags(set)
}

// Check completes and verifies the options.
func (o *Options) Check() error {
	ip := net.ParseIP(o.IP)
	_, _, split := strings.Cut(o.HTTPCredentials, ":")
	switch {
	case o.Master == "":
		return errors.New("--master is missing: name a master as HOST:PORT")
	case strings.Contains(strings.ReplaceAll(o.Master, "https://", ""), "://"):
		return fmt.Errorf("--master=%s: detection over %s is not supported; give HOST:PORT", o.Master, o.Master[:strings.Index(o.Master, "://")])
	case o.WorkDir == "":
		return errors.New("--work_dir is missing: name a directory that survives a reboot")
	case ip == nil:
		return fmt.Errorf("--http_address=%s is not an address", o.IP)
	case o.Port < 0 || o.Port > 65535:
		return fmt.Errorf("--http_port=%d is not a port", o.Port)
	case o.FailoverTimeout < 0:
		return fmt.Errorf("--failover_timeout=%d is negative", o.FailoverTimeout)
	case o.HTTPCredentials != "" && !split:
		return errors.New("--http_credentials is not user:password")
	case (o.Principal == "") != (o.SecretFile == ""):
		return errors.New("--mesos_authentication_principal and --mesos_authentication_secret_file belong together")
	case o.TLS.On() && o.TLS.CertFile == "" && o.TLS.CAFile == "":
		return errors.New("--ssl_enabled needs --ssl_ca_file to reach a master, or --ssl_cert_file and --ssl_key_file to serve, too")
	case !ip.IsLoopback() && !o.secured() && !o.Insecure:
		return fmt.Errorf("refusing to listen on %s without authentication: give --http_credentials or --credentials; or --http_address=127.0.0.1; or --insecure to accept the risk", o.IP)
	}
	if o.Hostname == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("find the name of this machine: %w", err)
		}
		o.Hostname = name
	}
	return nil
}

func (o *Options) secured() bool { return o.HTTPCredentials != "" || o.Credentials != "" }

func (o *Options) address() string { return net.JoinHostPort(o.IP, strconv.Itoa(o.Port)) }

// users are who may use the HTTP API; nil: everybody.
func (o *Options) users() (httpauth.Credentials, error) {
	if !o.secured() {
		return nil, nil
	}
	users := httpauth.Credentials{}
	if o.Credentials != "" {
		var err error
		if users, err = httpauth.ReadCredentials(o.Credentials); err != nil {
			return nil, fmt.Errorf("--credentials: %w", err)
		}
		if len(users) == 0 {
			return nil, fmt.Errorf("--credentials: there is none in %s", o.Credentials)
		}
	}
	if o.HTTPCredentials != "" {
		user, password, _ := strings.Cut(o.HTTPCredentials, ":")
		if user == "" || password == "" {
			return nil, errors.New("--http_credentials: user and password may not be empty")
		}
		users[user] = password
	}
	return users, nil
}

// authorization is how the framework shows the master who it is.
func (o *Options) authorization() (string, error) {
	if o.Principal == "" {
		return "", nil
	}
	secret, err := httpauth.ReadSecret(o.SecretFile)
	if err != nil {
		return "", fmt.Errorf("--mesos_authentication_secret_file: %w", err)
	}
	return httpauth.BasicHeader(o.Principal, secret), nil
}

// masters are the addresses with their scheme.
func (o *Options) masters() []string {
	var out []string
	for address := range strings.SplitSeq(o.Master, ",") {
		address = strings.TrimSpace(address)
		if address != "" && o.TLS.On() && !strings.HasPrefix(address, "https://") {
			address = "https://" + address
		}
		if address != "" {
			out = append(out, address)
		}
	}
	return out
}

// config is that of the framework.
func (o *Options) config(address string) Config {
	return Config{Name: o.Name, Role: o.Role, User: o.User, Hostname: o.Hostname, Address: address, Secure: o.TLS.CertFile != "", Principal: o.Principal,
		BridgeName: o.BridgeName, FailoverTimeout: time.Duration(o.FailoverTimeout) * time.Second}
}
