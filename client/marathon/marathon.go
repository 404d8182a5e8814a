// Package marathon is a client of Marathon's v2 API.
//
// It owns requests and the reading of answers. It promises that a refusal comes back as
// *marathon.Error with the server's own words. It refuses to retry: the caller knows whether
// that is safe.
package marathon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	api "agora.dev/agora/api/marathon/v2"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 20

// pollEvery is how often Wait looks.
const pollEvery = 100 * time.Millisecond

// Client is a client. It is safe for concurrent use.
type Client struct {
	base          string
	http          *http.Client
	authorization string
}

// Config says where the orchestrator is.
type Config struct {
	// Address is HOST:PORT or a URL.
	Address string
	// Authorization is sent as the header of that name; empty sends none.
	Authorization string
}

// New makes a client.
func New(cfg Config) *Client {
	base := strings.TrimSuffix(cfg.Address, "/")
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	return &Client{base: base, http: &http.Client{Timeout: 90 * time.Second}, authorization: cfg.Authorization}
}

// do sends one request; into gets the answer unless nil.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body, into any) error {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		reader = bytes.NewReader(text)
	}
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	if c.authorization != "" {
		request.Header.Set("Authorization", c.authorization)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("reach the orchestrator: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if response.StatusCode >= 300 {
		refusal := &api.Error{Code: response.StatusCode}
		if json.Unmarshal(answer, refusal) != nil || refusal.Message == "" {
			refusal.Message = fmt.Sprintf("%s %s: %s", method, path, response.Status)
		}
		return refusal
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s %s: answer: %w", method, path, err)
	}
	return nil
}

func appPath(id string) string {
	parts := strings.Split(strings.Trim(id, "/"), "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return "/v2/apps/" + strings.Join(parts, "/")
}

func forced(force bool) url.Values {
	if force {
		return url.Values{"force": {"true"}}
	}
	return url.Values{"force": {"false"}}
}

// Ping asks whether the orchestrator answers.
func (c *Client) Ping(ctx context.Context) error {
	return c.do(ctx, "GET", "/ping", nil, nil, nil)
}

// Info asks who it is.
func (c *Client) Info(ctx context.Context) (info api.Info, err error) {
	return info, c.do(ctx, "GET", "/v2/info", nil, nil, &info)
}

// Apps lists all apps, without their tasks.
func (c *Client) Apps(ctx context.Context) ([]api.AppInfo, error) {
	var answer struct{ Apps []api.AppInfo }
	err := c.do(ctx, "GET", "/v2/apps", nil, nil, &answer)
	return answer.Apps, err
}

// App gives one app with its tasks.
func (c *Client) App(ctx context.Context, id string) (*api.AppInfo, error) {
	var answer struct{ App *api.AppInfo }
	err := c.do(ctx, "GET", appPath(id), nil, nil, &answer)
	return answer.App, err
}

// CreateApp makes an app; the answer names its deployment. App may be *api.App, or anything
// that marshals to an app's JSON.
func (c *Client) CreateApp(ctx context.Context, app any) (*api.AppInfo, error) {
	created := &api.AppInfo{}
	if err := c.do(ctx, "POST", "/v2/apps", nil, app, created); err != nil {
		return nil, err
	}
	return created, nil
}

// UpdateApp lays fields over an app, or makes it.
func (c *Client) UpdateApp(ctx context.Context, id string, fields map[string]any, force bool) (result api.DeploymentResult, err error) {
	return result, c.do(ctx, "PUT", appPath(id), forced(force), fields, &result)
}

// ScaleApp sets the number of instances.
func (c *Client) ScaleApp(ctx context.Context, id string, instances int, force bool) (result api.DeploymentResult, err error) {
	return result, c.do(ctx, "PATCH", appPath(id), forced(force), map[string]int{"instances": instances}, &result)
}

// RestartApp replaces all instances.
func (c *Client) RestartApp(ctx context.Context, id string, force bool) (result api.DeploymentResult, err error) {
	return result, c.do(ctx, "POST", appPath(id)+"/restart", forced(force), nil, &result)
}

// DeleteApp removes an app and ends its instances.
func (c *Client) DeleteApp(ctx context.Context, id string) (result api.DeploymentResult, err error) {
	return result, c.do(ctx, "DELETE", appPath(id), nil, nil, &result)
}

// Tasks lists all tasks.
func (c *Client) Tasks(ctx context.Context) ([]api.Task, error) {
	var answer struct{ Tasks []api.Task }
	err := c.do(ctx, "GET", "/v2/tasks", nil, nil, &answer)
	return answer.Tasks, err
}

// KillTasks ends tasks; with scale they are not replaced.
func (c *Client) KillTasks(ctx context.Context, ids []string, scale bool) error {
	query := url.Values{}
	if scale {
		query.Set("scale", "true")
	}
	return c.do(ctx, "POST", "/v2/tasks/delete", query, map[string][]string{"ids": ids}, nil)
}

// Deployments lists what is under way.
func (c *Client) Deployments(ctx context.Context) (all []api.Deployment, err error) {
	return all, c.do(ctx, "GET", "/v2/deployments", nil, nil, &all)
}

// CancelDeployment undoes a deployment.
func (c *Client) CancelDeployment(ctx context.Context, id string, force bool) error {
	return c.do(ctx, "DELETE", "/v2/deployments/"+url.PathEscape(id), forced(force), nil, nil)
}

// Queue lists what waits for offers, each with the reasons.
func (c *Client) Queue(ctx context.Context) ([]api.QueueItem, error) {
	var answer struct{ Queue []api.QueueItem }
	err := c.do(ctx, "GET", "/v2/queue", url.Values{"embed": {"lastUnusedOffers"}}, nil, &answer)
	return answer.Queue, err
}

// Wait returns when the deployment is over. Each time it looks, progress (unless nil) is told.
func (c *Client) Wait(ctx context.Context, deploymentID string, progress func(api.Deployment)) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		all, err := c.Deployments(ctx)
		if err != nil {
			return err
		}
		found := false
		for _, d := range all {
			if d.ID == deploymentID {
				found = true
				if progress != nil {
					progress(d)
				}
			}
		}
		if !found {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
