package e2e

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mesosgo builds the example scheduler and executor of mesos-go, a client of the v1 API
// that this project did not write.
func mesosgo(t *testing.T) (scheduler, executor string) {
	t.Helper()
	module := filepath.Join("..", "conformance", "mesosgo")
	download := exec.CommandContext(t.Context(), "go", "mod", "download")
	download.Dir = module
	if out, err := download.CombinedOutput(); err != nil {
		t.Skipf("the modules of test/conformance/mesosgo cannot be fetched: %v\n%s", err, out)
	}
	dir := t.TempDir()
	const cmd = "github.com/mesos/mesos-go/api/v1/cmd/"
	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/", cmd+"example-scheduler", cmd+"example-executor")
	build.Dir, build.Env = module, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build mesos-go's examples: %v\n%s", err, out)
	}
	return filepath.Join(dir, "example-scheduler"), filepath.Join(dir, "example-executor")
}

// startProgram runs a program that is not agora in the background; the test's end stops it.
func startProgram(t *testing.T, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(path), cmd: exec.Command(path, args...),
		done: make(chan struct{}), farewell: syscall.SIGTERM}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop(p.farewell)
		if t.Failed() {
			t.Logf("output of %s:\n%s", p.name, p.output())
		}
	})
	return p
}

// withoutQuotaV2 is a proxy before the master. mesos-go v0.0.11 refuses JSON with enum values
// younger than itself, so it cannot read SUBSCRIBED of a Mesos with the master capability
// QUOTA_V2, and not ours. The proxy writes the value UNKNOWN in its place, blank-padded to
// the same length; all other bytes pass as they are.
func withoutQuotaV2(t *testing.T, master string) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: master})
	proxy.FlushInterval = -1
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	proxy.ModifyResponse = func(response *http.Response) error {
		response.Body = &renamed{ReadCloser: response.Body}
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.Listener.Addr().String()
}

// renamed is a body in which QUOTA_V2 is UNKNOWN.
type renamed struct{ io.ReadCloser }

func (r *renamed) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	copy(p, bytes.ReplaceAll(p[:n], []byte(`"QUOTA_V2"`), []byte(`"UNKNOWN" `)))
	return n, err
}

func TestMesosGoExampleRunsUnchanged(t *testing.T) {
	needRoot(t)
	scheduler, executor := mesosgo(t)
	// Its executor sends no credential, as this executor do not.
	master, agent := freePort(t), freePort(t)
	addr := "127.0.0.1:" + strconv.Itoa(master)
	start(t, "master", "master", "--ip=127.0.0.1", "--port="+strconv.Itoa(master), "--work_dir="+t.TempDir())
	start(t, "agent", "agent", "--master="+addr, "--ip=127.0.0.1", "--port="+strconv.Itoa(agent), "--work_dir="+t.TempDir(),
		"--resources=cpus:4;mem:1024;disk:1024;ports:[31000-31100]", "--no-authenticate_http_executors").farewell = syscall.SIGUSR1
	eventually(t, "the agent is registered", 30*time.Second, func() error {
		_, out, errOut := agora(t, "--master", addr, "node", "ls")
		if !strings.Contains(out, " active ") {
			return errors.New(out + errOut)
		}
		return nil
	})
	for _, codec := range []string{"protobuf", "json"} {
		t.Run(codec, func(t *testing.T) {
			const tasks = 5
			addr := addr
			if codec == "json" {
				addr = withoutQuotaV2(t, addr)
			}
			p := startProgram(t, scheduler, "-url", "http://"+addr+"/api/v1/scheduler", "-codec", codec,
				"-tasks", strconv.Itoa(tasks), "-cpu", "0.1", "-memory", "32", "-executor", executor, "-verbose",
				"-server.address", "127.0.0.1", "-server.port", strconv.Itoa(freePort(t)),
				"-metrics.port", strconv.Itoa(freePort(t)))
			eventually(t, "the example scheduler ends", 25*time.Second, func() error {
				select {
				case <-p.done:
					return nil
				default:
					return errors.New("it still runs")
				}
			})
			out := p.output()
			finished := map[string]bool{}
			for line := range strings.Lines(out) {
				if _, rest, found := strings.Cut(line, " Task "); found {
					if id, state, found := strings.Cut(strings.TrimSpace(rest), " is in state "); found && state == "TASK_FINISHED" {
						finished[id] = true
					}
				}
			}
			// Its exit code says nothing: it always ends by cancelling its own context.
			if len(finished) != tasks || !strings.Contains(out, "mission accomplished") {
				t.Errorf("finished %v; want %d tasks", finished, tasks)
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			t.Logf("its last lines:\n%s", strings.Join(lines[max(0, len(lines)-3):], "\n"))
		})
	}
}
