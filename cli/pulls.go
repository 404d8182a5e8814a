package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"agora.dev/agora/api/agora/pulls"
	mesos "agora.dev/agora/api/mesos/v1"
	masterpb "agora.dev/agora/api/mesos/v1/master"
)

// pullPatience bounds a question about pulls: what they say is only an addition.
const pullPatience = 2 * time.Second

// pulls asks an agent what it is pulling; nothing when it cannot say.
func (a *App) pulls(ctx context.Context, agent *masterpb.Response_GetAgents_Agent) []pulls.Pull {
	ctx, cancel := context.WithTimeout(ctx, pullPatience)
	defer cancel()
	base, err := a.agentURL(ctx, agent)
	if err != nil {
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+pulls.Path, nil)
	if err != nil {
		return nil
	}
	response, err := a.http().Do(request)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	var out []pulls.Pull
	if response.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(response.Body, 4<<20)).Decode(&out) != nil {
		return nil
	}
	return out
}

// imagesOf are the names of the images that a container needs.
func imagesOf(c *mesos.ContainerInfo) (names []string) {
	for _, name := range []string{c.GetMesos().GetImage().GetDocker().GetName(), c.GetDocker().GetImage()} {
		if name != "" {
			names = append(names, name)
		}
	}
	for _, v := range c.GetVolumes() {
		if name := v.GetImage().GetDocker().GetName(); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// pulling says how far the images of tasks that are being staged have come, by the tasks'
// ids. Each agent is asked once.
func (a *App) pulling(ctx context.Context, tasks []task) map[string]string {
	out, asked := map[string]string{}, map[string][]pulls.Pull{}
	for _, t := range tasks {
		names := imagesOf(t.GetContainer())
		if state := t.GetState(); t.Completed || t.Agent == nil || len(names) == 0 || state != mesos.TaskState_TASK_STAGING && state != mesos.TaskState_TASK_STARTING {
			continue
		}
		id := t.GetAgentId().GetValue()
		if _, known := asked[id]; !known {
			asked[id] = a.pulls(ctx, t.Agent)
		}
		for _, pull := range asked[id] {
			if slices.ContainsFunc(names, func(name string) bool { return name == pull.Image || slices.Contains(pull.Names, name) }) {
				out[t.GetTaskId().GetValue()] = pullText(pull)
			}
		}
	}
	return out
}

// pullText is one line about a pull.
func pullText(p pulls.Pull) string {
	if len(p.Layers) == 0 {
		return "pulling " + p.Names[0] + ": asking the registry"
	}
	done, current, total := p.Sum()
	text := fmt.Sprintf("pulling %s: %d of %d layers, %s", p.Names[0], done, len(p.Layers), byteText(current))
	if total >= 0 {
		text += " of " + byteText(total)
	}
	var open []string
	for _, l := range p.Layers {
		if !l.Done && l.Current > 0 && l.Total > 0 && len(open) < 3 {
			_, digits, _ := strings.Cut(l.Digest, ":")
			open = append(open, fmt.Sprintf("%.12s %d%%", digits, 100*l.Current/l.Total))
		}
	}
	if len(open) > 0 {
		text += " (" + strings.Join(open, ", ") + ")"
	}
	return text
}

// byteText is a size for people.
func byteText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, unit := float64(n), 0
	for v >= 1024 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	return fmt.Sprintf("%.3g %s", v, units[unit])
}
