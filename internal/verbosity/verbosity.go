// Package verbosity raises the detail of a log for a while (Mesos SET_LOGGING_LEVEL and
// /logging/toggle).
//
// It promises that the detail falls back by itself. It refuses to hide what the log shows
// without it.
package verbosity

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// Level is how much more a log says than it was started with: 0 nothing more, from 1
// on what is for developers.
type Level struct {
	raised atomic.Pointer[raise]
	now    func() time.Time
}

type raise struct {
	level uint32
	until time.Time
}

// New makes a level of 0.
func New() *Level { return &Level{now: time.Now} }

// Set raises the level for a duration; a later Set replaces it.
func (l *Level) Set(level uint32, duration time.Duration) {
	l.raised.Store(&raise{level, l.now().Add(max(duration, 0))})
}

// Get is the level of now.
func (l *Level) Get() uint32 {
	if r := l.raised.Load(); r != nil && l.now().Before(r.until) {
		return r.level
	}
	return 0
}

// Handler is a handler that says more when the level is raised.
func (l *Level) Handler(inner slog.Handler) slog.Handler { return &handler{inner, l} }

type handler struct {
	slog.Handler
	level *Level
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.Handler.Enabled(ctx, level) || level >= slog.LevelDebug && h.level.Get() > 0
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.Handler.WithGroup(name), h.level}
}
