// Package httpapi serves Marathon's v2 API for the orchestrator.
//
// It owns paths, parameters and the shapes of answers. It promises one answer to each request:
// the core's, or 503 when none comes in time. It refuses to decide or to remember.
package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	marathon "agora.dev/agora/api/marathon/v2"
	"agora.dev/agora/orchestrator/core"
)

// maxBody bounds a request's body.
const maxBody = 8 << 20

// answerTimeout is how long the core is waited for.
const answerTimeout = 60 * time.Second

// Config is what /v2/info tells.
type Config struct {
	Name, Version, Address, Role string
	FailoverTimeout              time.Duration
}

// API is the handler. Use New.
type API struct {
	cfg  Config
	post func(context.Context, core.Event) error
	mux  *http.ServeMux

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan core.Answer
}

// New makes a handler that puts requests to the core by post.
func New(cfg Config, post func(context.Context, core.Event) error) *API {
	a := &API{cfg: cfg, post: post, mux: http.NewServeMux(), waiting: map[uint64]chan core.Answer{}}
	a.routes()
	return a
}

// Answer gives the core's answer to whoever waits for it.
func (a *API) Answer(answer core.Answer) {
	a.mu.Lock()
	reply := a.waiting[answer.ID]
	delete(a.waiting, answer.ID)
	a.mu.Unlock()
	if reply != nil {
		reply <- answer
	}
}

// ServeHTTP serves.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	// Clients write /v2/apps//id: a redirect, as the router would give, loses their bodies.
	r.URL.Path, r.URL.RawPath = path.Clean("/"+r.URL.Path), ""
	a.mux.ServeHTTP(w, r)
}

// ask puts a command to the core and waits.
func (a *API) ask(ctx context.Context, command core.Command) (any, *marathon.Error) {
	reply := make(chan core.Answer, 1)
	a.mu.Lock()
	a.next++
	id := a.next
	a.waiting[id] = reply
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.waiting, id)
		a.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := a.post(ctx, core.Request{ID: id, Command: command}); err != nil {
		return nil, &marathon.Error{Code: 503, Message: "the orchestrator does not answer: " + err.Error()}
	}
	select {
	case answer := <-reply:
		return answer.Value, answer.Err
	case <-ctx.Done():
		return nil, &marathon.Error{Code: 503, Message: "the orchestrator does not answer in time"}
	}
}

func (a *API) view(ctx context.Context) (*core.View, *marathon.Error) {
	value, err := a.ask(ctx, core.Look{})
	if err != nil {
		return nil, err
	}
	return value.(*core.View), nil
}

func write(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache, no-store, must-revalidate")
	w.WriteHeader(code)
	// The client is gone if this fails.
	_ = json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, err *marathon.Error) { write(w, err.Code, err) }

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		fail(w, &marathon.Error{Code: 413, Message: "the body is too large"})
	case err != nil:
		fail(w, &marathon.Error{Code: 400, Message: err.Error()})
	default:
		return body, true
	}
	return nil, false
}

func flag(r *http.Request, name string, byDefault bool) bool {
	switch strings.ToLower(r.URL.Query().Get(name)) {
	case "":
		if r.URL.Query().Has(name) {
			return true
		}
		return byDefault
	case "true", "1":
		return true
	}
	return false
}

// change puts a command that deploys, and answers with what of the result shape wants.
func (a *API) change(w http.ResponseWriter, r *http.Request, command core.Command, shape func(*core.Changed) (int, any)) {
	value, err := a.ask(r.Context(), command)
	if err != nil {
		fail(w, err)
		return
	}
	changed, ok := value.(*core.Changed)
	if !ok {
		write(w, http.StatusOK, map[string]any{"tasks": value})
		return
	}
	w.Header().Set("Marathon-Deployment-Id", changed.Deployment.DeploymentID)
	code, body := shape(changed)
	if code == http.StatusCreated && changed.App != nil {
		w.Header().Set("Location", "/v2/apps"+changed.App.ID)
	}
	write(w, code, body)
}

func deployed(changed *core.Changed) (int, any) {
	if changed.Created {
		return http.StatusCreated, changed.Deployment
	}
	return http.StatusOK, changed.Deployment
}

func always200(changed *core.Changed) (int, any) { return http.StatusOK, changed.Deployment }
