package httpapi

import (
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/internal/flags"
)

// verbosity is how much is logged: 0 is what the master was started with, anything above logs
// what a developer wants, until the time is over.
type verbosity struct {
	mu      sync.Mutex
	level   uint32
	log     *slog.LevelVar
	started slog.Level
	revert  *time.Timer
}

func (v *verbosity) init(log *slog.LevelVar) {
	if log == nil {
		log = new(slog.LevelVar)
	}
	v.log, v.started = log, log.Level()
}

func (v *verbosity) get() uint32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.level
}

// set changes the level, and back after d.
func (v *verbosity) set(level uint32, d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.change(level)
	if v.revert != nil {
		v.revert.Stop()
	}
	v.revert = time.AfterFunc(d, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.change(0)
	})
}

func (v *verbosity) change(level uint32) {
	v.level = level
	if level > 0 {
		v.log.Set(min(slog.LevelDebug, v.started))
		return
	}
	v.log.Set(v.started)
}

func (v *verbosity) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.revert != nil {
		v.revert.Stop()
	}
}

// setLoggingLevel is SET_LOGGING_LEVEL.
func (s *Server) setLoggingLevel(w http.ResponseWriter, call *master.Call_SetLoggingLevel) {
	d := time.Duration(call.GetDuration().GetNanoseconds())
	if d < 0 {
		text(w, http.StatusBadRequest, "Invalid duration '"+d.String()+"'")
		return
	}
	s.verbosity.set(call.GetLevel(), d)
	text(w, http.StatusOK, "")
}

// loggingToggle is /logging/toggle: without parameters it answers with the level.
func (s *Server) loggingToggle(w http.ResponseWriter, r *http.Request) {
	level, duration := r.URL.Query().Get("level"), r.URL.Query().Get("duration")
	switch {
	case level == "" && duration == "":
		text(w, http.StatusOK, strconv.FormatUint(uint64(s.verbosity.get()), 10)+"\n")
		return
	case level == "":
		text(w, http.StatusBadRequest, "Expecting 'level=value' in query.\n")
		return
	case duration == "":
		text(w, http.StatusBadRequest, "Expecting 'duration=value' in query.\n")
		return
	}
	number, err := strconv.ParseInt(level, 10, 32)
	if err != nil {
		text(w, http.StatusBadRequest, "Failed to convert '"+level+"' to number.\n")
		return
	}
	if number < 0 {
		text(w, http.StatusBadRequest, "Invalid level '"+level+"'.\n")
		return
	}
	d, err := flags.ParseDuration(duration)
	if err != nil || d < 0 {
		text(w, http.StatusBadRequest, "Invalid duration '"+duration+"'.\n")
		return
	}
	s.verbosity.set(uint32(number), d)
	text(w, http.StatusOK, "")
}
