package marathon

import (
	"fmt"
	"sort"
	"strings"
)

// Detail is what is wrong at one path of a document.
type Detail struct {
	Path   string   `json:"path"`
	Errors []string `json:"errors"`
}

// Error is a refused request: its status code and body.
type Error struct {
	Code        int             `json:"-"`
	Message     string          `json:"message"`
	Details     []Detail        `json:"details,omitempty"`
	Deployments []DeploymentRef `json:"deployments,omitempty"`
}

// Error gives the message with its details on one line.
func (e *Error) Error() string {
	var parts []string
	for _, d := range e.Details {
		parts = append(parts, fmt.Sprintf("%s %s", d.Path, strings.Join(d.Errors, "; ")))
	}
	if len(parts) == 0 {
		return e.Message
	}
	return e.Message + ": " + strings.Join(parts, ", ")
}

// NotFound is the answer for an app that does not exist.
func NotFound(id string) *Error {
	return &Error{Code: 404, Message: fmt.Sprintf("App '%s' does not exist", id)}
}

// Conflict is the answer for an app that exists already.
func Conflict(id string) *Error {
	return &Error{Code: 409, Message: fmt.Sprintf("An app with id [%s] already exists.", id)}
}

// Locked is the answer while a deployment of the app is under way.
func Locked(deployments ...string) *Error {
	e := &Error{Code: 409, Message: fmt.Sprintf("App is locked by one or more deployments. Override with the option '?force=true'. View details at '/v2/deployments/%s'.", strings.Join(deployments, ","))}
	for _, id := range deployments {
		e.Deployments = append(e.Deployments, DeploymentRef{ID: id})
	}
	return e
}

// Malformed is the answer to what is not JSON of the right shape.
func Malformed(cause error) *Error {
	return &Error{Code: 400, Message: "Invalid JSON", Details: []Detail{{Path: "/", Errors: []string{cause.Error()}}}}
}

type details map[string][]string

func (d details) add(path, format string, args ...any) {
	d[path] = append(d[path], fmt.Sprintf(format, args...))
}

func (d details) err() *Error {
	if len(d) == 0 {
		return nil
	}
	e := &Error{Code: 422, Message: "Object is not valid"}
	for path, errors := range d {
		e.Details = append(e.Details, Detail{Path: path, Errors: errors})
	}
	sort.Slice(e.Details, func(i, j int) bool { return e.Details[i].Path < e.Details[j].Path })
	return e
}
