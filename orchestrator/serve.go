package orchestrator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"agora.dev/agora/auth/audit"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/auth/tlsconfig"
	"agora.dev/agora/client/scheduler"
	"agora.dev/agora/kv"
)

// realm is that of Marathon.
const realm = "Mesosphere"

// Process is an orchestrator with its port and its connection to the master. Make one with Open.
type Process struct {
	orchestrator *Orchestrator
	driver       *scheduler.Client
	listener     net.Listener
	server       *http.Server
}

// Open checks the options, reads what they name, and listens. Run or Close it.
func Open(options Options, store kv.Store, log *slog.Logger) (*Process, error) {
	if err := options.Check(); err != nil {
		return nil, err
	}
	users, err := options.users()
	if err != nil {
		return nil, err
	}
	authorization, err := options.authorization()
	if err != nil {
		return nil, err
	}
	source, err := tlsconfig.Open(options.TLS)
	if err != nil {
		return nil, err
	}
	p := &Process{}
	p.listener, err = net.Listen("tcp", options.address())
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %d of %s is in use: choose another with --http_port", options.Port, options.IP)
	case err != nil:
		return nil, fmt.Errorf("listen: %w", err)
	}
	driver := scheduler.Config{Masters: options.masters(), Authorization: authorization}
	if options.TLS.On() {
		driver.TLS = source.Client()
	}
	p.driver = scheduler.New(driver)
	p.orchestrator = New(options.config(options.shown(p.listener)), Deps{Store: store, Driver: p.driver, Log: log})
	p.server = &http.Server{Handler: protect(p.orchestrator.Handler(), users, log), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	if config := source.Server(); config != nil {
		p.listener = tls.NewListener(p.listener, config)
	}
	return p, nil
}

// shown is the address that others are told: the name where it listens for others.
func (o *Options) shown(listener net.Listener) string {
	port := o.Port
	if tcp, ok := listener.Addr().(*net.TCPAddr); ok {
		port = tcp.Port
	}
	if net.ParseIP(o.IP).IsLoopback() {
		return net.JoinHostPort(o.IP, strconv.Itoa(port))
	}
	return net.JoinHostPort(o.Hostname, strconv.Itoa(port))
}

// Addr is where the API is served, HOST:PORT.
func (p *Process) Addr() string { return p.listener.Addr().String() }

// Close gives back what Open took, if Run is never called.
func (p *Process) Close() {
	p.listener.Close()
	p.driver.Close()
}

// Run serves and works until ctx ends, or as Orchestrator.Run.
func (p *Process) Run(ctx context.Context) error {
	defer p.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = p.server.Serve(p.listener) // ends with Close
	}()
	err := p.orchestrator.Run(ctx)
	p.server.Close()
	<-served
	return err
}

// protect asks for a user, and refuses changes from pages of other sites; without users everybody may do everything.
func protect(next http.Handler, users httpauth.Credentials, log *slog.Logger) http.Handler {
	if users == nil {
		return next
	}
	const all = "/"
	g := guard.New(guard.Config{Routes: map[string]guard.Route{all: {Realm: guard.Readwrite}},
		Access: guard.Access{Readwrite: httpauth.NewRealm(realm, httpauth.NewBasic(users)), Audit: audit.New(log)}})
	return g.Before(all, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		answer := &answered{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		g.Audit.Changed(r, r.Method+" "+r.URL.Path, "", answer.status)
	})
}

// answered remembers the status of an answer.
type answered struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (a *answered) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (a *answered) Unwrap() http.ResponseWriter { return a.ResponseWriter }
