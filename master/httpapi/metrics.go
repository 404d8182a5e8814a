package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/internal/metrics"
)

// metricsSnapshot answers with all figures; what is not known within the parameter timeout is left out.
func (s *Server) metricsSnapshot(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if given := r.URL.Query().Get("timeout"); given != "" {
		timeout, err := flags.ParseDuration(given)
		if err != nil {
			text(w, http.StatusBadRequest, "Invalid timeout '"+given+"': "+err.Error())
			return
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	view(w, r, func(out *writer) { out.buf = s.cfg.Metrics.Collect(ctx).AppendJSON(out.buf) })
}

func (s *Server) metricsPrometheus(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if err := s.cfg.Metrics.Collect(r.Context()).Prometheus(&body, s.cfg.Families); err != nil {
		text(w, http.StatusInternalServerError, err.Error())
		return
	}
	send(w, r, metrics.PrometheusType, body.Bytes())
}

// metricList is the answer to GET_METRICS.
func (s *Server) metricList(ctx context.Context, timeout *mesos.DurationInfo) []*mesos.Metric {
	if timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(timeout.GetNanoseconds()))
		defer cancel()
	}
	figures := s.cfg.Metrics.Collect(ctx).Figures
	list := make([]*mesos.Metric, len(figures))
	for i, f := range figures {
		list[i] = &mesos.Metric{Name: &f.Name, Value: &f.Value}
	}
	return list
}
