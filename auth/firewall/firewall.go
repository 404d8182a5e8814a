// Package firewall switches endpoints off, as Mesos's --firewall_rules says.
//
// It owns the document and the answer. It promises that a path which names no endpoint is an error at the start, and
// that every spelling of an endpoint is switched off with it. It refuses to know who asks: what is off is off for all.
package firewall

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Rules are the endpoints that are switched off. A nil *Rules switches nothing off.
type Rules struct {
	paths []string
	off   map[string]bool
}

// Parse reads {"disabled_endpoints":{"paths":["/files/browse",…]}}. Mesos docs/configuration/master-and-agent.md.
func Parse(text []byte) (*Rules, error) {
	var document struct {
		Disabled *struct {
			Paths []string `json:"paths"`
		} `json:"disabled_endpoints"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&document); err != nil {
		return nil, fmt.Errorf("firewall rules: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("firewall rules: text after the document")
	}
	if document.Disabled == nil {
		return nil, errors.New(`firewall rules: there is no "disabled_endpoints"`)
	}
	r := &Rules{paths: document.Disabled.Paths, off: map[string]bool{}}
	for i, path := range r.paths {
		if !strings.HasPrefix(path, "/") {
			return nil, fmt.Errorf("firewall rules: paths[%d]: %q does not begin with /", i, path)
		}
	}
	return r, nil
}

// Resolve looks the paths up: route gives the name that a component has for an endpoint, whatever its spelling.
func (r *Rules) Resolve(route func(path string) (string, bool)) error {
	if r == nil {
		return nil
	}
	for i, path := range r.paths {
		name, ok := route(path)
		if !ok {
			return fmt.Errorf("firewall rules: paths[%d]: there is no endpoint %q", i, path)
		}
		r.off[name] = true
	}
	return nil
}

// Stops answers a request to a route that is switched off, and reports whether it did.
func (r *Rules) Stops(w http.ResponseWriter, req *http.Request, route string) bool {
	if r == nil || !r.off[route] {
		return false
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprintf(w, "Endpoint '%s' is disabled", req.URL.Path)
	return true
}
