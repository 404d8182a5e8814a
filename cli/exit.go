package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Exit codes of every command. agora run in the foreground ends with the status of
// its task instead, and with the codes of docker run when there is none: 125 the
// cluster could not run it, 126 the command cannot be executed, 127 it was not found,
// 128+N it was ended by signal N.
const (
	ExitFailure     = 1 // the cluster answered with an error
	ExitUsage       = 2 // the command line is wrong
	ExitNotFound    = 3 // the task, node, app or image does not exist
	ExitUnreachable = 4 // no master or agent answers at the address
	ExitTimeout     = 5 // the wait for a result ended first

	ExitNotRun        = 125
	ExitNotExecutable = 126
	ExitNoCommand     = 127
	ExitSignal        = 128
)

// exitError carries an exit code with its text.
type exitError struct {
	code int
	text string
	err  error
}

func (e *exitError) Error() string { return e.text }
func (e *exitError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &exitError{code: ExitUsage, text: fmt.Sprintf(format, args...)}
}

func notFoundf(format string, args ...any) error {
	return &exitError{code: ExitNotFound, text: fmt.Sprintf(format, args...)}
}

func exitf(code int, format string, args ...any) error {
	return &exitError{code: code, text: fmt.Sprintf(format, args...)}
}

// quietExit ends the process with code and prints nothing: what went wrong has been
// seen by the user already.
func quietExit(code int) error { return &exitError{code: code} }

// explain turns an error into the exit code and the line for a person.
func explain(err error) (code int, text string) {
	var exit *exitError
	switch {
	case errors.As(err, &exit):
		return exit.code, exit.text
	case isUsage(err):
		return ExitUsage, err.Error() + "; see agora --help"
	case errors.Is(err, context.Canceled):
		return ExitSignal + 2, ""
	case isUnreachable(err):
		return ExitUnreachable, err.Error() + "; is it running? Start one with agora dev, or name it with --master HOST:PORT"
	case errors.Is(err, context.DeadlineExceeded):
		return ExitTimeout, err.Error()
	}
	return ExitFailure, err.Error()
}

// isUsage recognises the refusals of the command line library, which have no type.
func isUsage(err error) bool {
	for _, prefix := range []string{"unknown command", "accepts ", "requires at least", "required flag"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	return false
}
