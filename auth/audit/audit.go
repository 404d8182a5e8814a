// Package audit writes who was refused what, and who changed what.
//
// It owns the two lines of the audit log and their facts. It promises that a line is bounded and holds
// no credential: callers give names and identifiers, never headers or bodies. It refuses nothing and
// decides nothing.
package audit

import (
	"context"
	"log/slog"
	"net/http"

	"agora.dev/agora/auth/httpauth"
)

// Log is an audit log. A nil *Log writes nothing.
type Log struct{ out *slog.Logger }

// New makes a log on out.
func New(out *slog.Logger) *Log {
	if out == nil {
		return nil
	}
	return &Log{out}
}

// Texts of the two lines.
const (
	refused = "audit: refused"
	changed = "audit: changed"
)

// maxDetail bounds one fact, in bytes.
const maxDetail = 1 << 10

// Refused says that a request was not allowed. What is the endpoint or the call.
func (l *Log) Refused(r *http.Request, what string, status int, reason string) {
	if l != nil {
		l.write(slog.LevelWarn, refused, r, what, status, "reason", reason)
	}
}

// RefusedWithin says that a part of a call was not allowed, whose request was: a launch within an ACCEPT. Who
// sent it is known by name only.
func (l *Log) RefusedWithin(principal, what, reason string) {
	if l != nil {
		l.out.LogAttrs(context.Background(), slog.LevelWarn, refused, slog.String("principal", bounded(principal)),
			slog.String("what", bounded(what)), slog.Int("status", http.StatusForbidden), slog.String("reason", bounded(reason)))
	}
}

// Changed says what somebody changed, or tried to: status says which.
func (l *Log) Changed(r *http.Request, what, detail string, status int) {
	if l != nil {
		l.write(slog.LevelInfo, changed, r, what, status, "detail", detail)
	}
}

func (l *Log) write(level slog.Level, text string, r *http.Request, what string, status int, key, value string) {
	l.out.LogAttrs(context.Background(), level, text,
		slog.String("principal", bounded(httpauth.PrincipalOf(r).String())), slog.String("remote", r.RemoteAddr),
		slog.String("what", bounded(what)), slog.Int("status", status), slog.String(key, bounded(value)))
}

func bounded(text string) string {
	if len(text) > maxDetail {
		return text[:maxDetail] + "..."
	}
	return text
}
