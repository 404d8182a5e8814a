package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/master"
)

// TestSimulatedAgentsAuthenticate joins agents and frameworks to a master that asks everybody who they are.
func TestSimulatedAgentsAuthenticate(t *testing.T) {
	config := master.NewConfig()
	config.Access.Credentials = filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(config.Access.Credentials, []byte("ops a-long-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config.Access.Readonly, config.Access.Readwrite, config.Access.Frameworks, config.Access.Agents = true, true, true, true
	credentials := []string{"--principal=ops", "--secret=a-long-secret"}
	address := realMasterWith(t, config, credentials...)

	code, _, refusal := run(t, "--master", address, "simulate", "--agents=1")
	if code == 0 || !strings.Contains(refusal, "no valid credential") {
		t.Errorf("without a credential: %d %s", code, refusal)
	}

	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var out, errOut bytes.Buffer
	app := &App{In: strings.NewReader(""), Out: &out, Err: &errOut, Env: func(string) string { return "" }, Version: "test"}
	go func() {
		ended <- Main(ctx, app, append(credentials, "--master", address, "simulate", "--agents=3", "--tasks=2"))
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		_, tasks, _ := run(t, append(credentials, "--master", address, "ps")...)
		if strings.Count(tasks, "RUNNING") == 6 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("tasks: %s", tasks)
		}
	}
	interrupt()
	if code := <-ended; code != 0 {
		t.Errorf("simulate ended with %d: %s", code, &errOut)
	}
}
