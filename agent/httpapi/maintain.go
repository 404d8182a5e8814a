package httpapi

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/api/agora/pulls"
	mesos "agora.dev/agora/api/mesos/v1"
	agentapi "agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/internal/flags"
)

// pruneImages removes the images that no container uses.
func (s *Server) pruneImages(ctx context.Context, excluded []*mesos.Image) error {
	if s.Images == nil {
		return refuse(http.StatusNotImplemented, "This agent has no image store")
	}
	var names []string
	for i, image := range excluded {
		name := image.GetDocker().GetName()
		if name == "" {
			return refuse(http.StatusBadRequest, "Failed to validate agent::Call: "+
				"'prune_images.excluded_images' is invalid: image %d is not a DOCKER image with a name", i)
		}
		names = append(names, name)
	}
	return s.Images.Prune(ctx, names)
}

// pulls shows the images that are being pulled.
func (s *Server) pulls(w http.ResponseWriter, r *http.Request) {
	out := []pulls.Pull{}
	if s.Pulls != nil {
		out = s.Pulls()
	}
	writeJSON(w, r, out)
}

func (s *Server) getLoggingLevel() *agentapi.Response {
	out, level := response(agentapi.Response_GET_LOGGING_LEVEL), s.Level.Get()
	out.GetLoggingLevel = &agentapi.Response_GetLoggingLevel{Level: &level}
	return out
}

func (s *Server) setLoggingLevel(level uint32, duration time.Duration) {
	s.Level.Set(level, duration)
	s.Log.Info("logging level set", "level", level, "for", duration)
}

// loggingToggle is libprocess's: without a query it shows the level.
func (s *Server) loggingToggle(w http.ResponseWriter, r *http.Request) {
	level, duration := r.URL.Query().Get("level"), r.URL.Query().Get("duration")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	switch {
	case level == "" && duration == "":
		fmt.Fprintf(w, "%d\n", s.Level.Get())
		return
	case level == "":
		answer(w, refuse(http.StatusBadRequest, "Expecting 'level=value' in query.\n"))
		return
	case duration == "":
		answer(w, refuse(http.StatusBadRequest, "Expecting 'duration=value' in query.\n"))
		return
	}
	n, err := strconv.ParseUint(level, 10, 32)
	if err != nil {
		answer(w, refuse(http.StatusBadRequest, "Invalid level '%s'.\n", level))
		return
	}
	d, err := flags.ParseDuration(duration)
	if err != nil {
		answer(w, refuse(http.StatusBadRequest, "Invalid duration '%s'.\n", duration))
		return
	}
	s.setLoggingLevel(uint32(n), d)
	s.guard.Audit.Changed(r, "/logging/toggle", "level "+level+" for "+duration, http.StatusOK)
}

// help lists what is served.
func (s *Server) help(w http.ResponseWriter, _ *http.Request) {
	var paths []string
	for path := range s.routes {
		if !strings.HasSuffix(path, ".json") {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprintf(w, "<html><head><title>Help</title></head><body>\n<h1>Agora agent %s</h1>\n<ul>\n", html.EscapeString(s.Version))
	for _, path := range paths {
		fmt.Fprintf(w, "<li><a href=%q>%s</a></li>\n", path, html.EscapeString(path))
	}
	fmt.Fprint(w, "</ul>\n<p>Calls to /api/v1 are those of agent.proto of Mesos 1.11.</p>\n</body></html>\n")
}
