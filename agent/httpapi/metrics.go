package httpapi

import (
	"bytes"
	_ "embed"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/metrics"
)

//go:embed metrics.txt
var metricTable string

// MetricFamilies is what the figures of an agent mean, and what Prometheus calls them.
func MetricFamilies() (*metrics.Families, error) { return metrics.ParseFamilies(metricTable, "agora_") }

func (s *Server) metricsPrometheus(w http.ResponseWriter, r *http.Request) {
	snapshot, err := s.Backend.Snapshot(r.Context())
	if err != nil {
		answer(w, refuse(http.StatusServiceUnavailable, "%s", err))
		return
	}
	families, err := MetricFamilies()
	if err != nil {
		answer(w, refuse(http.StatusInternalServerError, "%s", err))
		return
	}
	var body bytes.Buffer
	if err := metrics.Of(s.metrics(snapshot), s.Timers).Prometheus(&body, families); err != nil {
		answer(w, refuse(http.StatusInternalServerError, "%s", err))
		return
	}
	w.Header().Set("Content-Type", metrics.PrometheusType)
	w.Write(body.Bytes())
}

func (s *Server) metricsSnapshot(w http.ResponseWriter, r *http.Request) {
	snapshot, err := s.Backend.Snapshot(r.Context())
	if err != nil {
		answer(w, refuse(http.StatusServiceUnavailable, "%s", err))
		return
	}
	out := map[string]number{}
	for _, figure := range s.figures(snapshot) {
		out[figure.Name] = number(figure.Value)
	}
	writeJSON(w, r, out)
}

// ownFigures begins the names of figures for Prometheus alone: who reads the others knows those of Mesos.
const ownFigures = "containerizer/launch"

// figures are those that are read under Mesos's names.
func (s *Server) figures(snapshot *core.Snapshot) []metrics.Figure {
	all := metrics.Of(s.metrics(snapshot), s.Timers).Figures
	return slices.DeleteFunc(all, func(f metrics.Figure) bool { return strings.HasPrefix(f.Name, ownFigures) })
}

// metrics are the keys of a Mesos agent of which this agent knows the value.
func (s *Server) metrics(snapshot *core.Snapshot) map[string]float64 {
	n := snapshot.Counters
	out := map[string]float64{
		"slave/uptime_secs": time.Since(s.Started).Seconds(), "slave/registered": 0,
		"slave/frameworks_active": float64(len(snapshot.Frameworks)), "slave/recovery_errors": 0,
		"slave/container_launch_errors": float64(n.LaunchErrors), "slave/executors_terminated": float64(n.ExecutorsTerminated),
		"slave/executors_preempted": float64(n.Preempted), "slave/executors_registering": 0, "slave/executors_running": 0,
		"slave/executors_terminating": 0, "slave/tasks_finished": float64(n.Finished), "slave/tasks_failed": float64(n.Failed),
		"slave/tasks_killed": float64(n.Killed), "slave/tasks_lost": float64(n.Lost), "slave/tasks_gone": 0,
		"slave/tasks_staging": 0, "slave/tasks_starting": 0, "slave/tasks_running": 0, "slave/tasks_killing": 0,
		"slave/valid_status_updates": float64(n.ValidUpdates), "slave/invalid_status_updates": float64(n.InvalidUpdates),
		"slave/valid_framework_messages": float64(n.ValidMessages), "slave/invalid_framework_messages": float64(n.InvalidMessages),
	}
	if snapshot.Registered {
		out["slave/registered"] = 1
	}
	each(snapshot, func(_ core.FrameworkView, e core.ExecutorView, live bool) {
		if !live {
			return
		}
		if e.State != "TERMINATED" {
			out["slave/executors_"+strings.ToLower(e.State)]++
		}
		out["slave/tasks_staging"] += float64(len(e.Queued))
		for _, t := range e.Launched {
			out["slave/"+strings.ToLower(strings.Replace(t.GetState().String(), "TASK_", "tasks_", 1))]++
		}
	})
	resourceMetrics(out, snapshot)
	systemMetrics(out)
	// Of resource providers, and of a back end for images that is not there, none.
	for _, name := range []string{"resource_provider_manager/events/disconnect", "resource_provider_manager/events/subscribe", "resource_provider_manager/subscribed",
		"containerizer/mesos/provisioner/bind/remove_rootfs_errors", "containerizer/mesos/provisioner/remove_container_errors"} {
		out[name] = 0
	}
	if s.Figures != nil {
		s.Figures(func(name string, value float64) { out[name] = value })
	}
	return out
}

func resourceMetrics(out map[string]float64, snapshot *core.Snapshot) {
	firm, revocable := apart(snapshot.Agent.GetResources())
	totals := [2]map[string]float64{sums(firm), sums(append(revocable, snapshot.Oversubscribed...))}
	firm, revocable = apart(used(snapshot))
	taken := [2]map[string]float64{sums(firm), sums(revocable)}
	for kind, infix := range []string{"", "_revocable"} {
		for _, name := range []string{"cpus", "mem", "disk", "gpus"} {
			key := "slave/" + name + infix
			out[key+"_total"], out[key+"_used"], out[key+"_percent"] = totals[kind][name], roundMilli(taken[kind][name]), 0
			if totals[kind][name] > 0 {
				out[key+"_percent"] = taken[kind][name] / totals[kind][name]
			}
		}
	}
}

// apart takes revocable resources out of a list.
func apart(list []*mesos.Resource) (firm, revocable []*mesos.Resource) {
	for _, r := range list {
		if r.GetRevocable() != nil {
			revocable = append(revocable, r)
		} else {
			firm = append(firm, r)
		}
	}
	return firm, revocable
}

func sums(list []*mesos.Resource) map[string]float64 {
	out := map[string]float64{}
	for _, r := range list {
		if r.GetType() == mesos.Value_SCALAR {
			out[r.GetName()] += r.GetScalar().GetValue()
		}
	}
	return out
}

func systemMetrics(out map[string]float64) {
	out["system/cpus_total"] = float64(runtime.NumCPU())
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		fields := strings.Fields(string(data))
		for i, name := range []string{"1min", "5min", "15min"} {
			if i < len(fields) {
				out["system/load_"+name], _ = strconv.ParseFloat(fields[i], 64)
			}
		}
	}
	if data, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.SplitSeq(string(data), "\n") {
			fields := strings.Fields(line)
			if len(fields) < 2 {
				continue
			}
			kib, _ := strconv.ParseFloat(fields[1], 64)
			switch fields[0] {
			case "MemTotal:":
				out["system/mem_total_bytes"] = kib * 1024
			case "MemFree:":
				out["system/mem_free_bytes"] = kib * 1024
			}
		}
	}
}

func (s *Server) systemStats(w http.ResponseWriter, r *http.Request) {
	all := map[string]float64{}
	systemMetrics(all)
	out := map[string]any{}
	for name, value := range all {
		name = strings.TrimPrefix(name, "system/")
		name = strings.Replace(strings.Replace(name, "load_", "avg_load_", 1), "cpus_total", "cpus_total", 1)
		if strings.HasPrefix(name, "mem_") || name == "cpus_total" {
			out[name] = int64(value)
			continue
		}
		out[name] = number(value)
	}
	writeJSON(w, r, out)
}
