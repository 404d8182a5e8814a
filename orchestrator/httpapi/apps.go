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

func (a *API) routes() {
	handle := func(pattern string, f http.HandlerFunc) { a.mux.HandleFunc(pattern, f) }
	handle("GET /v2/apps", a.listApps)
	handle("POST /v2/apps", a.createApp)
	handle("PUT /v2/apps", a.changeApps(core.Upsert))
	handle("PATCH /v2/apps", a.changeApps(core.Patch))
	// An app's id has slashes: what follows it is told apart by its end.
	handle("/v2/apps/{path...}", a.app)
	handle("GET /v2/tasks", a.listTasks)
	handle("POST /v2/tasks/delete", a.deleteTasks)
	handle("GET /v2/deployments", a.listDeployments)
	handle("DELETE /v2/deployments/{id}", a.cancelDeployment)
	handle("GET /v2/queue", a.listQueue)
	handle("DELETE /v2/queue/{path...}", a.resetDelay)
	handle("GET /v2/info", a.info)
	handle("GET /v2/leader", func(w http.ResponseWriter, r *http.Request) {
		write(w, 200, map[string]string{"leader": a.cfg.Address})
	})
	handle("GET /ping", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "pong") })
	handle("GET /metrics", a.metrics)
	handle("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, &marathon.Error{Code: 404, Message: "URI not found: " + r.URL.Path})
	})
}

func (a *API) listApps(w http.ResponseWriter, r *http.Request) {
	view, err := a.view(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	query := r.URL.Query()
	tasks, failure := slices.Contains(query["embed"], "apps.tasks"), slices.Contains(query["embed"], "apps.lastTaskFailure")
	if slices.Contains(query["embed"], "apps.failures") {
		tasks, failure = true, true
	}
	apps := []marathon.AppInfo{}
	for _, app := range view.Apps {
		if !strings.Contains(app.ID, query.Get("id")) || !strings.Contains(app.Cmd, query.Get("cmd")) ||
			!matchesLabels(app.Labels, query.Get("label")) {
			continue
		}
		if !tasks {
			app.Tasks = nil
		}
		if !failure {
			app.LastTaskFailure = nil
		}
		apps = append(apps, app)
	}
	write(w, 200, map[string]any{"apps": apps})
}

// matchesLabels: every "k", "k==v" or "k!=v" must hold.
func matchesLabels(labels map[string]string, selector string) bool {
	for _, term := range strings.Split(selector, ",") {
		term = strings.TrimSpace(term)
		if key, value, ok := strings.Cut(term, "!="); ok {
			if labels[strings.TrimSpace(key)] == strings.TrimSpace(value) {
				return false
			}
		} else if key, value, ok := strings.Cut(term, "=="); ok {
			if labels[strings.TrimSpace(key)] != strings.TrimSpace(value) {
				return false
			}
		} else if _, ok := labels[term]; !ok && term != "" {
			return false
		}
	}
	return true
}

func (a *API) createApp(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	a.change(w, r, core.Change{Mode: core.Create, Force: flag(r, "force", false), Bodies: []core.AppBody{{Body: body}}},
		func(changed *core.Changed) (int, any) {
			return http.StatusCreated, marathon.AppInfo{App: *changed.App,
				Deployments: []marathon.DeploymentRef{{ID: changed.Deployment.DeploymentID}}}
		})
}

func (a *API) changeApps(mode core.Mode) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := readBody(w, r)
		if !ok {
			return
		}
		var list []json.RawMessage
		if err := json.Unmarshal(body, &list); err != nil {
			fail(w, marathon.Malformed(err))
			return
		}
		command := core.Change{Mode: whole(mode, r), Force: flag(r, "force", false)}
		for _, each := range list {
			command.Bodies = append(command.Bodies, core.AppBody{Body: each})
		}
		a.change(w, r, command, always200)
	}
}

func whole(mode core.Mode, r *http.Request) core.Mode {
	if mode == core.Upsert && !flag(r, "partialUpdate", true) {
		return core.Whole
	}
	return mode
}

// app serves everything below /v2/apps/.
func (a *API) app(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(r.PathValue("path"), "/")
	parts := strings.Split(path, "/")
	n := len(parts)
	switch {
	case n > 1 && parts[n-1] == "restart" && r.Method == "POST":
		a.change(w, r, core.Change{Mode: core.Restart, Force: flag(r, "force", false),
			Bodies: []core.AppBody{{ID: strings.Join(parts[:n-1], "/")}}}, always200)
	case n > 1 && parts[n-1] == "tasks":
		a.appTasks(w, r, strings.Join(parts[:n-1], "/"), nil)
	case n > 2 && parts[n-2] == "tasks" && r.Method == "DELETE":
		a.appTasks(w, r, strings.Join(parts[:n-2], "/"), []string{parts[n-1]})
	case n > 1 && parts[n-1] == "versions" && r.Method == "GET":
		a.versions(w, r, strings.Join(parts[:n-1], "/"), "")
	case n > 2 && parts[n-2] == "versions" && r.Method == "GET":
		a.versions(w, r, strings.Join(parts[:n-2], "/"), parts[n-1])
	default:
		a.oneApp(w, r, path)
	}
}

func (a *API) oneApp(w http.ResponseWriter, r *http.Request, id string) {
	mode := core.Upsert
	switch r.Method {
	case "GET":
		a.getApp(w, r, id)
		return
	case "DELETE":
		a.change(w, r, core.Delete{ID: id, Force: flag(r, "force", true)}, always200)
		return
	case "PATCH":
		mode = core.Patch
	case "PUT":
	default:
		w.Header().Set("Allow", "GET, PUT, PATCH, DELETE")
		fail(w, &marathon.Error{Code: 405, Message: "method not allowed"})
		return
	}
	if body, ok := readBody(w, r); ok {
		a.change(w, r, core.Change{Mode: whole(mode, r), Force: flag(r, "force", false),
			Bodies: []core.AppBody{{ID: id, Body: body}}}, deployed)
	}
}

func (a *API) find(w http.ResponseWriter, r *http.Request, id string) (*core.View, *marathon.AppInfo) {
	view, err := a.view(r.Context())
	if err != nil {
		fail(w, err)
		return nil, nil
	}
	id = marathon.AbsoluteID(id)
	for i := range view.Apps {
		if view.Apps[i].ID == id {
			return view, &view.Apps[i]
		}
	}
	fail(w, marathon.NotFound(id))
	return nil, nil
}

func (a *API) getApp(w http.ResponseWriter, r *http.Request, id string) {
	if group, ok := strings.CutSuffix(id, "*"); ok {
		view, err := a.view(r.Context())
		if err != nil {
			fail(w, err)
			return
		}
		below := []marathon.AppInfo{}
		for _, app := range view.Apps {
			if strings.HasPrefix(app.ID, "/"+group) {
				below = append(below, app)
			}
		}
		write(w, 200, map[string]any{"*": below})
		return
	}
	if _, app := a.find(w, r, id); app != nil {
		write(w, 200, map[string]any{"app": app})
	}
}

func (a *API) appTasks(w http.ResponseWriter, r *http.Request, id string, ids []string) {
	switch r.Method {
	case "GET":
		if _, app := a.find(w, r, id); app != nil {
			write(w, 200, map[string]any{"tasks": append([]marathon.Task{}, app.Tasks...)})
		}
	case "DELETE":
		a.killTasks(w, r, core.KillTasks{App: id, IDs: ids, Host: r.URL.Query().Get("host")})
	default:
		w.Header().Set("Allow", "GET, DELETE")
		fail(w, &marathon.Error{Code: 405, Message: "method not allowed"})
	}
}

func (a *API) versions(w http.ResponseWriter, r *http.Request, id, version string) {
	view, app := a.find(w, r, id)
	if app == nil {
		return
	}
	names := []string{}
	for _, each := range view.Versions[app.ID] {
		if each.Version == version {
			write(w, 200, each)
			return
		}
		names = append(names, each.Version)
	}
	if version != "" {
		fail(w, &marathon.Error{Code: 404, Message: fmt.Sprintf("App '%s' does not exist in version %s", app.ID, version)})
		return
	}
	slices.Reverse(names)
	write(w, 200, map[string]any{"versions": names})
}
