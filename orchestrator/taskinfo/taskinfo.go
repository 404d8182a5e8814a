// Package taskinfo turns an app and a match into the TaskInfo that is launched.
//
// It owns the environment that Marathon promises to tasks. It promises that the same input
// gives the same bytes. It refuses what validation refuses.
package taskinfo

import (
	"fmt"
	"path"
	"regexp"
	"sort"
	"strconv"
	"strings"

	marathon "agora.dev/agora/api/marathon/v2"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/orchestrator/instance"
	"google.golang.org/protobuf/proto"
)

// Build makes the task of an instance. Bridge is the network that an app with mode
// container/bridge joins.
func Build(app *marathon.App, i *instance.Instance, resources []*mesos.Resource, bridge string) *mesos.TaskInfo {
	task := &mesos.TaskInfo{
		Name:      proto.String(Name(app.ID)),
		TaskId:    &mesos.TaskID{Value: proto.String(i.TaskID)},
		AgentId:   &mesos.AgentID{Value: proto.String(i.AgentID)},
		Resources: resources,
		Command:   command(app, i),
		Container: container(app, i, bridge),
		Labels:    labels(app.Labels),
		Discovery: discovery(app, i, bridge),

		HealthCheck: healthCheck(app, i),
		Check:       check(app, i),
	}
	if grace := app.TaskKillGracePeriodSeconds; grace != nil {
		task.KillPolicy = &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(*grace * 1e9))}}
	}
	return task
}

// Name is the task's name: the path turned round, "/a/b" gives "b.a".
func Name(appID string) string {
	parts := strings.Split(strings.Trim(appID, "/"), "/")
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, ".")
}

func command(app *marathon.App, i *instance.Instance) *mesos.CommandInfo {
	c := &mesos.CommandInfo{Environment: environment(app, i)}
	if app.User != "" {
		c.User = proto.String(app.User)
	}
	switch {
	case app.Cmd != "":
		c.Shell, c.Value = proto.Bool(true), proto.String(app.Cmd)
	case len(app.Args) > 0 && app.Image() == "":
		// Without an image there is no entry point: the first argument is the program.
		c.Shell, c.Value, c.Arguments = proto.Bool(false), proto.String(app.Args[0]), app.Args
	default:
		c.Shell, c.Arguments = proto.Bool(false), app.Args
	}
	for _, a := range app.Fetch {
		uri := &mesos.CommandInfo_URI{Value: proto.String(a.URI), Extract: proto.Bool(a.Extract),
			Executable: proto.Bool(a.Executable), Cache: proto.Bool(a.Cache)}
		if a.DestPath != "" {
			uri.OutputFile = proto.String(a.DestPath)
		}
		c.Uris = append(c.Uris, uri)
	}
	return c
}

// container always is Mesos's own: an app written for the Docker engine gets the same image.
func container(app *marathon.App, i *instance.Instance, bridge string) *mesos.ContainerInfo {
	if app.Container == nil {
		return nil
	}
	c := &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), NetworkInfos: networkInfos(app, i, bridge)}
	if image := app.Image(); image != "" {
		c.Mesos = &mesos.ContainerInfo_MesosInfo{Image: &mesos.Image{Type: mesos.Image_DOCKER.Enum(),
			Docker: &mesos.Image_Docker{Name: proto.String(image)},
			Cached: proto.Bool(!app.Container.Docker.ForcePullImage)}}
	}
	for _, v := range app.Container.Volumes {
		mode := mesos.Volume_RW
		if v.Mode == "RO" {
			mode = mesos.Volume_RO
		}
		volume := &mesos.Volume{Mode: mode.Enum(), ContainerPath: proto.String(v.ContainerPath)}
		if v.Secret != "" {
			volume.Mode = mesos.Volume_RO.Enum()
			volume.Source = &mesos.Volume_Source{Type: mesos.Volume_Source_SECRET.Enum(), Secret: reference(app, v.Secret)}
		} else {
			volume.HostPath = proto.String(path.Clean(v.HostPath))
		}
		c.Volumes = append(c.Volumes, volume)
	}
	return c
}

// reference is what the agent resolves: the orchestrator never has the secret.
func reference(app *marathon.App, name string) *mesos.Secret {
	return &mesos.Secret{Type: mesos.Secret_REFERENCE.Enum(), Reference: &mesos.Secret_Reference{Name: proto.String(app.Secrets[name].Source)}}
}

func labels(from map[string]string) *mesos.Labels {
	if len(from) == 0 {
		return nil
	}
	l := &mesos.Labels{}
	for _, key := range sorted(from) {
		l.Labels = append(l.Labels, &mesos.Label{Key: proto.String(key), Value: proto.String(from[key])})
	}
	return l
}

var notName = regexp.MustCompile(`[^A-Z0-9_]`)

func sanitise(name string) string { return notName.ReplaceAllString(strings.ToUpper(name), "_") }

// environment is Marathon's, over which the app's own stands.
func environment(app *marathon.App, i *instance.Instance) *mesos.Environment {
	env := map[string]string{
		"MARATHON_APP_ID": app.ID, "MARATHON_APP_VERSION": app.Version, "MESOS_TASK_ID": i.TaskID,
		"MARATHON_APP_RESOURCE_CPUS": number(app.CPUs), "MARATHON_APP_RESOURCE_MEM": number(app.Mem),
		"MARATHON_APP_RESOURCE_DISK": number(app.Disk), "MARATHON_APP_RESOURCE_GPUS": strconv.Itoa(app.GPUs),
		"HOST": i.Host, "TASK_HOST": i.Host,
	}
	if image := app.Image(); image != "" {
		env["MARATHON_APP_DOCKER_IMAGE"] = image
	}
	addLabels(env, app.Labels)
	addPorts(env, app, i)
	for name, value := range app.Env {
		env[name] = value.Value
	}
	e := &mesos.Environment{}
	for _, name := range sorted(env) {
		v := &mesos.Environment_Variable{Name: proto.String(name), Value: proto.String(env[name])}
		if secret := app.Env[name].Secret; secret != "" {
			v.Type, v.Value, v.Secret = mesos.Environment_Variable_SECRET.Enum(), nil, reference(app, secret)
		}
		e.Variables = append(e.Variables, v)
	}
	return e
}

// Labels longer than this do not reach the environment.
const maxLabel = 512

func addLabels(env, labels map[string]string) {
	var names []string
	for _, key := range sorted(labels) {
		if len(key) >= maxLabel || len(labels[key]) >= maxLabel {
			continue
		}
		name := sanitise(key)
		names = append(names, name)
		env["MARATHON_APP_LABEL_"+name] = labels[key]
	}
	env["MARATHON_APP_LABELS"] = strings.Join(names, " ")
}

func number(value float64) string {
	text := fmt.Sprint(value)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
