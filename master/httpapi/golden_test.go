package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/auth/guard"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
	"agora.dev/agora/master/registry"
)

// edge is a server over a core that a test steps by hand, synchronously.
type edge struct {
	*Server
	core *core.Core
}

func newEdge(t *testing.T) *edge {
	t.Helper()
	return newEdgeWith(t, guard.Access{})
}

// newEdgeWith is an edge that lets in whom access lets in.
func newEdgeWith(t *testing.T, access guard.Access) *edge {
	t.Helper()
	info := &mesos.MasterInfo{Id: ptr("m"), Ip: ptr(uint32(16777343)), Port: ptr(uint32(5050)), Pid: ptr("master@127.0.0.1:5050"), Hostname: ptr("localhost"),
		Capabilities: []*mesos.MasterInfo_Capability{{Type: mesos.MasterInfo_Capability_AGENT_UPDATE.Enum()}}}
	e := &edge{core: core.New(core.Config{Master: info, Authorizer: access.ACLs})}
	e.Server = New(Config{
		Post: func(_ context.Context, event core.Event) error {
			e.step(event)
			return nil
		},
		Snapshot: func() *core.Snapshot { return e.core.Snapshot() },
		Leader:   func() Leader { return Leader{Known: true, Self: true, Address: "localhost:5050"} },
		Flags:    map[string]string{"port": "5050"},
		LogDir:   "/log",
		Access:   access,
		Explain: func(_ context.Context, questions []allocator.Question) ([]allocator.Explanation, bool) {
			return make([]allocator.Explanation, len(questions)), true
		},
		Version: Version{Version: "1.12.0", GitSHA: "c1b42f79d157aa900be5cbb0c1023f1479962aa7", BuildDate: "2026-11-21", BuildUser: "root", BuildTime: 1},
	})
	e.core.Step(time.Now(), core.Elected{Contents: registry.NewContents()})
	t.Cleanup(e.Close)
	return e
}

// step carries an event out, and the registry writes that it asks for.
func (e *edge) step(event core.Event) {
	ready := e.core.Step(time.Now(), event)
	writes := slices.Clone(ready.Persist)
	for _, message := range ready.Send {
		e.Deliver(message)
	}
	for _, write := range writes {
		e.step(core.RegistryDone{ID: write.ID})
	}
	e.Published(e.core.Snapshot())
}

// exchange is one recorded request and its answer.
type exchange struct {
	request *http.Request
	status  int
	header  http.Header
	body    string
}

const goldenDir = "../../../shared/golden"

func golden(t *testing.T, pattern string) map[string]exchange {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(goldenDir, pattern))
	if len(files) == 0 {
		t.Skipf("no recorded answers at %s", goldenDir)
	}
	all := map[string]exchange{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(raw)
		if strings.HasPrefix(text, "#") {
			_, text, _ = strings.Cut(text, "\n")
		}
		question, answer, ok := strings.Cut(strings.TrimPrefix(text, ">>> REQUEST\n"), "\n<<< RESPONSE\n")
		if !ok || strings.Contains(question, "[base64]") || strings.Contains(answer, "[base64]") {
			continue
		}
		all[filepath.Base(file)] = parseExchange(t, file, question, answer)
	}
	return all
}

func parseExchange(t *testing.T, file, question, answer string) exchange {
	t.Helper()
	head, body, _ := strings.Cut(question, "\n\n")
	first, rest, _ := strings.Cut(head, "\n")
	words := strings.Fields(first)
	e := exchange{request: httptest.NewRequest(words[0], words[1], strings.NewReader(body)), header: http.Header{}}
	for line := range strings.Lines(rest) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && name != "Content-Length" {
			e.request.Header.Add(name, value)
		}
	}
	head, e.body, _ = strings.Cut(answer, "\n\n")
	first, rest, _ = strings.Cut(head, "\n")
	words = strings.Fields(first)
	if len(words) < 2 {
		t.Fatalf("%s: no status in %q", file, first)
	}
	for _, c := range words[1] {
		e.status = e.status*10 + int(c-'0')
	}
	for line := range strings.Lines(rest) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			e.header.Add(name, value)
		}
	}
	e.body = strings.TrimSuffix(e.body, "\n")
	return e
}

func (e *edge) serve(r *http.Request) (int, http.Header, string) {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Result().Body)
	return w.Code, w.Result().Header, string(body)
}

// better are requests that we deliberately answer otherwise; docs/design/compatibility.md.
var better = map[string]string{
	"ctype-json-charset.http": "parameters of Content-Type are accepted",
}

func compare(t *testing.T, name string, want exchange, status int, header http.Header, body string) {
	t.Helper()
	wantBody := strings.TrimSpace(want.body)
	if status != want.status || strings.TrimSpace(body) != wantBody ||
		header.Get("Content-Type") != want.header.Get("Content-Type") || header.Get("Allow") != want.header.Get("Allow") {
		t.Errorf("%s:\n got %d %q %q\nwant %d %q %q", name, status, header.Get("Content-Type"), body,
			want.status, want.header.Get("Content-Type"), want.body)
	}
}

func TestRefusalsOfTheSchedulerAPIAreThoseRecorded(t *testing.T) {
	recorded := golden(t, "errors/scheduler/*.http")
	e := newEdge(t)
	for name, want := range recorded {
		status, header, body := e.serve(want.request)
		compare(t, name, want, status, header, body)
	}
}

func TestRefusalsOfTheOperatorAPIAreThoseRecorded(t *testing.T) {
	recorded := golden(t, "errors/master-operator/*.http")
	e := newEdge(t)
	for name, want := range recorded {
		status, header, body := e.serve(want.request)
		if better[name] != "" || status == http.StatusNotImplemented && strings.Contains(body, "not implemented by this master") ||
			strings.HasPrefix(name, "state-") || name == "method-head.http" || strings.Contains(name, "-quota") { // settings_test.go
			continue
		}
		compare(t, name, want, status, header, body)
	}
}
