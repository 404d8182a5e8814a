package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	marathon "agora.dev/agora/api/marathon/v2"
	"agora.dev/agora/orchestrator/core"
)

func (a *API) listTasks(w http.ResponseWriter, r *http.Request) {
	view, err := a.view(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	wanted := append(r.URL.Query()["status"], r.URL.Query()["status[]"]...)
	tasks := []marathon.Task{}
	for _, task := range view.Tasks {
		status := strings.ToLower(strings.TrimPrefix(task.State, "TASK_"))
		if len(wanted) == 0 || slices.Contains(wanted, status) {
			tasks = append(tasks, task)
		}
	}
	if strings.HasPrefix(r.Header.Get("Accept"), "text/plain") {
		w.Header().Set("Content-Type", "text/plain")
		for _, task := range tasks {
			for n, port := range task.Ports {
				service := 0
				if n < len(task.ServicePorts) {
					service = task.ServicePorts[n]
				}
				fmt.Fprintf(w, "%s\t%d\t%s:%d\n", strings.ReplaceAll(strings.Trim(task.AppID, "/"), "/", "_"), service, task.Host, port)
			}
		}
		return
	}
	write(w, 200, map[string]any{"tasks": tasks})
}

func (a *API) deleteTasks(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	var named struct {
		IDs []string `json:"ids"`
	}
	if err := json.Unmarshal(body, &named); err != nil {
		fail(w, marathon.Malformed(err))
		return
	}
	if len(named.IDs) == 0 {
		write(w, 200, map[string]any{"tasks": []marathon.Task{}})
		return
	}
	a.killTasks(w, r, core.KillTasks{IDs: named.IDs})
}

func (a *API) killTasks(w http.ResponseWriter, r *http.Request, command core.KillTasks) {
	command.Scale, command.Force = flag(r, "scale", false), flag(r, "force", false)
	if flag(r, "wipe", false) {
		message := "wipe needs resident apps, which this version does not support"
		if command.Scale {
			message = "You cannot use scale and wipe at the same time."
		}
		fail(w, &marathon.Error{Code: 400, Message: message})
		return
	}
	a.change(w, r, command, always200)
}

func (a *API) listDeployments(w http.ResponseWriter, r *http.Request) {
	view, err := a.view(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	write(w, 200, view.Deployments)
}

func (a *API) cancelDeployment(w http.ResponseWriter, r *http.Request) {
	force := flag(r, "force", false)
	a.change(w, r, core.CancelDeployment{ID: r.PathValue("id"), Force: force}, func(changed *core.Changed) (int, any) {
		if force {
			return http.StatusAccepted, changed.Deployment
		}
		return http.StatusOK, changed.Deployment
	})
}

func (a *API) listQueue(w http.ResponseWriter, r *http.Request) {
	view, err := a.view(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	if !slices.Contains(r.URL.Query()["embed"], "lastUnusedOffers") {
		for i := range view.Queue {
			view.Queue[i].LastUnusedOffers = nil
		}
	}
	write(w, 200, map[string]any{"queue": view.Queue})
}

func (a *API) resetDelay(w http.ResponseWriter, r *http.Request) {
	id, ok := strings.CutSuffix(strings.Trim(r.PathValue("path"), "/"), "/delay")
	if !ok {
		fail(w, &marathon.Error{Code: 404, Message: "URI not found: " + r.URL.Path})
		return
	}
	if _, err := a.ask(r.Context(), core.ResetDelay{App: marathon.AbsoluteID(id)}); err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *API) info(w http.ResponseWriter, r *http.Request) {
	view, err := a.view(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	write(w, 200, marathon.Info{Name: a.cfg.Name, Version: a.cfg.Version, Elected: true, Leader: a.cfg.Address,
		FrameworkID: view.FrameworkID, ZooKeeperConfig: map[string]any{}, HTTPConfig: map[string]any{},
		MarathonConfig: map[string]any{"framework_name": a.cfg.Name, "mesos_role": a.cfg.Role, "checkpoint": true,
			"failover_timeout": int(a.cfg.FailoverTimeout.Seconds())}})
}

// metrics has the gauges of Marathon's own that this version can tell.
func (a *API) metrics(w http.ResponseWriter, r *http.Request) {
	view, err := a.view(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	staged, running := 0, 0
	for _, app := range view.Apps {
		staged, running = staged+app.TasksStaged, running+app.TasksRunning
	}
	gauge := func(value int) map[string]int { return map[string]int{"value": value} }
	write(w, 200, map[string]any{"version": "4.0.0", "counters": map[string]any{}, "histograms": map[string]any{},
		"meters": map[string]any{}, "timers": map[string]any{}, "gauges": map[string]any{
			"marathon.apps.active.gauge":        gauge(len(view.Apps)),
			"marathon.deployments.active.gauge": gauge(len(view.Deployments)),
			"marathon.instances.running.gauge":  gauge(running),
			"marathon.instances.staged.gauge":   gauge(staged)}})
}
