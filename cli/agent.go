package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	agentpb "agora.dev/agora/api/mesos/v1/agent"
	masterpb "agora.dev/agora/api/mesos/v1/master"
)

// relayProbe bounds the question whether the master passes requests on.
const relayProbe = 15 * time.Second

// agentURL is the address of an agent's API, without a slash at its end: through the master, which is
// all that a user needs a route to; or, where the master does not pass requests on, as that
// of Mesos, the agent's own.
func (a *App) agentURL(ctx context.Context, agent *masterpb.Response_GetAgents_Agent) (string, error) {
	direct, err := agentAddr(agent)
	if err != nil {
		return "", err
	}
	id := agent.GetAgentInfo().GetId().GetValue()
	if known := a.agents.get(id); known != "" {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, relayProbe)
	defer cancel()
	through, err := a.relayURL(ctx, a.masterAddr(), id)
	if err != nil {
		return "", err
	}
	if through == "" {
		through = a.url(direct)
	}
	a.agents.put(id, through)
	return through, nil
}

// agentURLs remembers, by ID, where the API of an agent is reached.
type agentURLs struct {
	mu    sync.Mutex
	known map[string]string
}

func (u *agentURLs) get(id string) string {
	if u == nil {
		return ""
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.known[id]
}

func (u *agentURLs) put(id, url string) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.known[id] = url
}

// relayURL asks the leader for the agent; "" when it passes nothing on.
func (a *App) relayURL(ctx context.Context, master, id string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url(master)+"/agent/"+id+"/health", nil)
	if err != nil {
		return "", err
	}
	response, err := a.http().Do(request)
	if err != nil {
		return "", fmt.Errorf("master %s: %w", master, err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
	switch {
	case response.StatusCode == http.StatusOK:
		// Where a redirect has led to is the leader.
		return strings.TrimSuffix(response.Request.URL.String(), "/health"), nil
	case response.StatusCode == http.StatusNotFound && response.Header.Get("Agora-Agent") == "":
		return "", nil
	}
	return "", exitf(ExitFailure, "agent %s: %s", id, strings.TrimSpace(string(text)))
}

func (a *App) callAgent(ctx context.Context, agent *masterpb.Response_GetAgents_Agent, call *agentpb.Call) (*agentpb.Response, error) {
	url, err := a.agentURL(ctx, agent)
	if err != nil {
		return nil, err
	}
	response, err := a.operator(url).Agent(ctx, call)
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", agent.GetAgentInfo().GetHostname(), err)
	}
	return response, nil
}
