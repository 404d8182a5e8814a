// Package httpauth finds out who sent an HTTP request: by Basic, by a bearer token, by the
// certificate of the connection.
//
// It owns Mesos's credentials file and the realms. It promises that secrets are compared in constant
// time, that no error or log line holds one, and that who guesses is slowed down. It refuses to say what
// a principal may do: that is package auth.
package httpauth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"agora.dev/agora/auth"
)

// ErrNoCredential says that a request has nothing for an authenticator to look at.
var ErrNoCredential = errors.New("no credential")

// Authenticator finds the principal of a request by one means.
type Authenticator interface {
	// Authenticate fails with ErrNoCredential when the request carries nothing of this kind, and with
	// another error when what it carries is not valid.
	Authenticate(*http.Request) (*auth.Principal, error)
	// Challenge is what WWW-Authenticate says, empty if nothing can be said.
	Challenge(realm string) string
}

// Names of the realms. Mesos docs/authentication.md; the last is our own.
const (
	MasterReadonly  = "mesos-master-readonly"
	MasterReadwrite = "mesos-master-readwrite"
	MasterScheduler = "mesos-master-scheduler"
	AgentReadonly   = "mesos-agent-readonly"
	AgentReadwrite  = "mesos-agent-readwrite"
	AgentExecutor   = "mesos-agent-executor"
	MasterAgent     = "mesos-master-agent"
)

// Realm is a set of endpoints that ask alike. A nil *Realm asks nobody: a credential sent all the same
// is not looked at.
type Realm struct {
	name           string
	authenticators []Authenticator
	lockout        *lockout
}

// NewRealm makes a realm whose authenticators are asked in order.
func NewRealm(name string, authenticators ...Authenticator) *Realm {
	return &Realm{name: name, authenticators: authenticators, lockout: newLockout(time.Now)}
}

// Refusal is an answer to a request whose sender was not believed.
type Refusal struct {
	Status int
	// Text is the body; Challenge the header WWW-Authenticate; Reason is for the log, without secrets.
	Text, Challenge, Reason string
}

// Authenticate gives the principal of a request, or the refusal.
func (m *Realm) Authenticate(r *http.Request) (*auth.Principal, *Refusal) {
	if m == nil {
		return nil, nil
	}
	source := sourceOf(r)
	if !m.lockout.open(source) {
		return nil, &Refusal{Status: http.StatusTooManyRequests, Reason: "too many wrong secrets",
			Text: "Too many requests with a wrong secret came from this address for this principal; try again in a minute"}
	}
	var reasons []string
	for _, a := range m.authenticators {
		p, err := a.Authenticate(r)
		switch {
		case err == nil:
			return p, nil
		case !errors.Is(err, ErrNoCredential):
			reasons = append(reasons, err.Error())
		}
		if errors.Is(err, errWrongSecret) {
			m.lockout.failed(source)
		}
	}
	refusal := &Refusal{Status: http.StatusUnauthorized, Challenge: m.challenge(), Reason: strings.Join(reasons, "; "),
		Text: "The request has no valid credential for the realm " + m.name}
	if len(reasons) == 0 {
		refusal.Reason = ErrNoCredential.Error()
	}
	return nil, refusal
}

func (m *Realm) challenge() string {
	var all []string
	for _, a := range m.authenticators {
		if c := a.Challenge(m.name); c != "" {
			all = append(all, c)
		}
	}
	return strings.Join(all, ", ")
}

// Write sends the refusal.
func (f *Refusal) Write(w http.ResponseWriter) {
	h := w.Header()
	if f.Challenge != "" {
		h.Set("WWW-Authenticate", f.Challenge)
	}
	if f.Status == http.StatusTooManyRequests {
		h.Set("Retry-After", "60")
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(f.Status)
	w.Write([]byte(f.Text))
}

type principalKey struct{}

// WithPrincipal keeps who sent a request beside it.
func WithPrincipal(r *http.Request, p *auth.Principal) *http.Request {
	if p == nil {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), principalKey{}, p))
}

// PrincipalOf is who sent a request, nil when nobody was asked.
func PrincipalOf(r *http.Request) *auth.Principal {
	p, _ := r.Context().Value(principalKey{}).(*auth.Principal)
	return p
}
