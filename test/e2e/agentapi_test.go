package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// call asks the agent's operator API and expects a status with a part of the answer.
func (c *cluster) call(body string, code int, want string) {
	c.t.Helper()
	response, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/api/v1", c.agentPort), "application/json", strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != code || !strings.Contains(string(got), want) {
		c.t.Errorf("%s: %d %s %v; want %d %s", body, response.StatusCode, got, err, code, want)
	}
}

func TestStandaloneOutlivesAKilledAgent(t *testing.T) {
	c := startCluster(t)
	const id = `{"container_id":{"value":"alone"}}`
	c.call(`{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"alone"},"command":{"value":"echo $MESOS_SANDBOX; sleep 1234567"},`+
		`"container":{"type":"MESOS","mesos":{"image":{"type":"DOCKER","docker":{"name":"builtin/shell"}}}},`+
		`"resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}},{"name":"mem","type":"SCALAR","scalar":{"value":32}}]}}`, 200, "")
	pid := 0
	eventually(t, "the container runs", 20*time.Second, func() (err error) {
		pid, err = pidOf("sleep", "1234567")
		return err
	})
	c.agent.stop(syscall.SIGKILL)
	c.startAgent()
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the container died with the agent: %v", err)
	}
	c.call(`{"type":"GET_CONTAINERS","get_containers":{"show_standalone":true}}`, 200, `"mem_limit_bytes":33554432`)
	c.call(`{"type":"PRUNE_IMAGES"}`, 200, "")
	c.call(`{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"in","parent":{"value":"alone"}},"command":{"value":"exit 3"}}}`, 200, "")
	c.call(`{"type":"WAIT_CONTAINER","wait_container":{"container_id":{"value":"in","parent":{"value":"alone"}}}}`, 200, `"exit_status":768`)
	c.call(`{"type":"REMOVE_CONTAINER","remove_container":`+id+`}`, 500, "has not terminated yet")
	c.call(`{"type":"KILL_CONTAINER","kill_container":`+id+`}`, 200, "")
	c.call(`{"type":"WAIT_CONTAINER","wait_container":`+id+`}`, 200, `"exit_status":9`)
	c.call(`{"type":"REMOVE_CONTAINER","remove_container":`+id+`}`, 200, "")
	c.call(`{"type":"WAIT_CONTAINER","wait_container":`+id+`}`, 404, "cannot be found")
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the container lives on: %v", err)
	}
}
