package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	masterpb "agora.dev/agora/api/mesos/v1/master"

	marathon "agora.dev/agora/api/marathon/v2"
)

// orchestratorName is the name under which the orchestrator registers as a framework.
const orchestratorName = "marathon"

// errNoApp says that there is no app of that name, or no orchestrator to have one.
var errNoApp = errors.New("no such app")

// marathonAddr is where the orchestrator listens: flag, environment, what the master
// knows, default.
func (a *App) marathonAddr(ctx context.Context) string {
	for _, addr := range []string{a.marathon, a.Env("AGORA_MARATHON")} {
		if addr != "" {
			return withPort(addr, "8080")
		}
	}
	if response, err := a.callMaster(ctx, masterpb.Call_GET_FRAMEWORKS); err == nil {
		for _, framework := range response.GetGetFrameworks().GetFrameworks() {
			info := framework.GetFrameworkInfo()
			if at, err := url.Parse(info.GetWebuiUrl()); info.GetName() == orchestratorName && err == nil && at.Host != "" {
				return at.Host
			}
		}
	}
	return "127.0.0.1:8080"
}

// askMarathon sends a request; out, when not nil, gets the answer.
func (a *App) askMarathon(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	addr := a.marathonAddr(ctx)
	request, err := http.NewRequestWithContext(ctx, method, a.url(addr)+path, body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := a.http().Do(request)
	if err != nil {
		return fmt.Errorf("orchestrator %s: %w", addr, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("orchestrator %s: %w", addr, err)
	}
	if response.StatusCode >= 300 {
		refusal := &marathon.Error{Code: response.StatusCode}
		if json.Unmarshal(data, refusal) != nil || refusal.Message == "" {
			refusal.Message = fmt.Sprintf("%s: %s", response.Status, strings.TrimSpace(string(data)))
		}
		return refusal
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

// notFound reports whether the orchestrator answered that there is no such thing.
func notFound(err error) bool {
	var refusal *marathon.Error
	return errors.As(err, &refusal) && refusal.Code == http.StatusNotFound
}

// appPath is the path of an app's document; names may be given without the slash.
func appPath(name string) string { return "/v2/apps/" + strings.Trim(name, "/") }

// runDetached gives the app to the orchestrator.
func (a *App) runDetached(ctx context.Context, o runOptions) error {
	var deployment struct {
		DeploymentID string `json:"deploymentId"`
	}
	if err := a.askMarathon(ctx, http.MethodPut, appPath(o.Name), o.app(), &deployment); err != nil {
		return err
	}
	fmt.Fprintln(a.Out, "/"+strings.Trim(o.Name, "/"))
	return nil
}

// app is the document of a run.
func (o *runOptions) app() map[string]any {
	app := map[string]any{"id": "/" + strings.Trim(o.Name, "/"), "instances": o.Instances, "cpus": o.CPUs, "mem": o.MemMiB,
		"disk": o.DiskMiB, "env": o.Env}
	if len(o.Command) > 0 {
		app["args"] = o.Command
	}
	if o.User != "" {
		app["user"] = o.User
	}
	if o.Remove {
		app["labels"] = map[string]string{removeSandboxLabel: "true"}
	}
	container := map[string]any{"type": "MESOS"}
	if o.Image != "" {
		container["docker"] = map[string]any{"image": o.Image}
	}
	volumes := []map[string]any{}
	for _, v := range o.Volumes {
		mode := "RW"
		if v.ReadOnly {
			mode = "RO"
		}
		volumes = append(volumes, map[string]any{"hostPath": v.Host, "containerPath": v.Container, "mode": mode})
	}
	if container["volumes"] = volumes; o.Image != "" || len(volumes) > 0 {
		app["container"] = container
	}
	o.appPorts(app, container)
	return app
}

// killApp deletes an app with its tasks.
func (a *App) killApp(ctx context.Context, name string) error {
	err := a.askMarathon(ctx, http.MethodDelete, appPath(name), nil, nil)
	if notFound(err) || isUnreachable(err) {
		return errNoApp
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(a.Out, "/"+strings.Trim(name, "/"))
	return nil
}

// killInstance kills one task; the orchestrator replaces it.
func (a *App) killInstance(ctx context.Context, id string) error {
	return a.askMarathon(ctx, http.MethodPost, "/v2/tasks/delete", map[string]any{"ids": []string{id}}, nil)
}
