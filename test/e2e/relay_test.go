package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Everything that a user does with a task goes through the master's port: the agent wants a
// credential that nobody here has.
func TestUsersReachTasksThroughTheMasterAlone(t *testing.T) {
	needRoot(t)
	c := &cluster{t: t, masterPort: freePort(t), agentPort: freePort(t), masterDir: t.TempDir(), agentDir: t.TempDir()}
	interfaces := countInterfaces(t)
	t.Cleanup(func() { givenBack(t, interfaces, c.agentDir) })
	credentials := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(credentials, []byte(`{"credentials":[{"principal":"nobody","secret":"knows"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.startMaster()
	c.startAgent("--http_credentials=" + credentials)
	if response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/state", c.agentPort)); err != nil || response.StatusCode != 401 {
		t.Fatalf("the agent itself: %v, %v; want 401", response, err)
	}
	port := freePort(t)
	server := start(t, "agora run web", "--master", c.addr(), "run", "--name", "web", "builtin/shell", "--",
		"sh", "-c", fmt.Sprintf("echo served > /index.txt; httpd -p %d -h /", port))
	eventually(t, "web runs", 30*time.Second, func() error {
		_, out, errOut := c.agora("ps", "web")
		if !strings.Contains(out, "RUNNING") {
			return errors.New(out + errOut + server.output())
		}
		return nil
	})
	local := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(local, []byte(strings.Repeat("0123456789abcdef", 20000)), 0o644); err != nil {
		t.Fatal(err)
	}
	back := local + ".back"
	for _, step := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"exec", "web", "--", "cat", "/index.txt"}, 0, "served\n"},
		{[]string{"exec", "web", "--", "sh", "-c", "exit 7"}, 7, ""},
		{[]string{"cp", "web:/index.txt", "-"}, 0, "served\n"},
		{[]string{"cp", local, "web:/copied"}, 0, ""},
		{[]string{"cp", "web:/copied", back}, 0, ""},
		{[]string{"cp", "web:/nothing", back + "2"}, 1, ""},
		{[]string{"logs", "web"}, 0, fmt.Sprintf("httpd: listening on [::]:%d\n", port)},
		{[]string{"cp", local, back}, 2, ""},
	} {
		if code, out, errOut := c.agora(step.args...); code != step.code || out != step.out {
			t.Errorf("agora %q: exit %d, %q, %q; want %d, %q", step.args, code, out, errOut, step.code, step.out)
		}
	}
	sent, _ := os.ReadFile(local)
	if got, err := os.ReadFile(back); err != nil || string(got) != string(sent) {
		t.Errorf("copied there and back: %d bytes, %v; want %d", len(got), err, len(sent))
	}
	code, out, errOut := c.agora("top", "--interval", "50ms", "-o", "json")
	var rows []struct {
		Task   string
		MemMiB float64
	}
	if err := json.Unmarshal([]byte(out), &rows); code != 0 || err != nil || len(rows) != 1 || rows[0].MemMiB <= 0 {
		t.Errorf("agora top: exit %d, %s %s %v", code, out, errOut, err)
	}
	c.forwards(port)
	c.refusals()
}

// forwards reaches the server's port by agora port-forward.
func (c *cluster) forwards(port int) {
	c.t.Helper()
	local := freePort(c.t)
	start(c.t, "agora port-forward", "--master", c.addr(), "port-forward", "web", strconv.Itoa(local)+":"+strconv.Itoa(port))
	eventually(c.t, "the forwarded port answers", 20*time.Second, func() error {
		body, err := get(fmt.Sprintf("http://127.0.0.1:%d/index.txt", local))
		if err == nil && body != "served\n" {
			err = errors.New(body)
		}
		return err
	})
}

// refusals are requests that the master does not pass on.
func (c *cluster) refusals() {
	c.t.Helper()
	_, out, _ := c.agora("node", "ls", "-o", "json")
	var nodes []struct{ ID string }
	if err := json.Unmarshal([]byte(out), &nodes); err != nil || len(nodes) != 1 {
		c.t.Fatalf("agora node ls: %s %v", out, err)
	}
	id := nodes[0].ID
	for _, step := range []struct {
		path, body string
		code       int
	}{
		{"/agent/" + id + "/api/v1", `{"type":"GET_HEALTH"}`, 200},
		{"/agent/" + id + "/api/v1", `{"type":"PRUNE_IMAGES"}`, 403},
		{"/agent/" + id + "/api/v1", `{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"x"}}}`, 403},
		{"/agent/" + id + "/api/v1/executor", `{}`, 404},
		{"/agent/" + id + "/logging/toggle", ``, 404},
		{"/agent/nobody/api/v1", `{"type":"GET_HEALTH"}`, 404},
		{"/api/agora/relay", ``, 426},
	} {
		response, err := http.Post("http://"+c.addr()+step.path, "application/json", strings.NewReader(step.body))
		if err != nil {
			c.t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != step.code {
			c.t.Errorf("POST %s %s: %d %s; want %d", step.path, step.body, response.StatusCode, text, step.code)
		}
	}
}
