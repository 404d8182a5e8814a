package builtin

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// call runs an applet with its streams in memory.
func call(t *testing.T, input, name string, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	p := &proc{ctx: t.Context(), name: name, args: args, stdin: strings.NewReader(input), stdout: &out, stderr: &out, env: []string{"A=b"}, dir: t.TempDir()}
	status := p.run()
	return out.String(), status
}

func TestEveryNameIsAnApplet(t *testing.T) {
	for _, name := range Names() {
		if !Is("/bin/" + name) {
			t.Errorf("%s is listed and missing", name)
		}
	}
	if Is("/usr/local/bin/agora") {
		t.Error("agora itself must not be an applet")
	}
}

func TestShellRunsAppletsInItself(t *testing.T) {
	script := `mkdir -p d && cd d && echo hello world > f && cat f | grep -i WORLD; for i in 1 2 3; do echo $i; done | tail -n 1; env | grep A=; ls; false || exit 7`
	out, status := call(t, "", "sh", "-c", script)
	if status != 7 || out != "hello world\n3\nA=b\nf\n" {
		t.Errorf("status %d, output %q", status, out)
	}
	if out, status := call(t, "echo $((2+3))\nnosuchcommand\n", "sh"); status != 127 || !strings.HasPrefix(out, "5\n") {
		t.Errorf("status %d, output %q", status, out)
	}
	if out, _ := call(t, "", "sh", "-c", `echo "$0 $1 $2"`, "name", "x", "y"); !strings.Contains(out, "x y") {
		t.Errorf("parameters: %q", out)
	}
}

func TestSimpleApplets(t *testing.T) {
	for _, c := range []struct {
		input  string
		args   []string
		out    string
		status int
	}{
		{"", []string{"echo", "-n", "a", "b"}, "a b", 0},
		{"1\n2\n3\n", []string{"head", "-n", "2"}, "1\n2\n", 0},
		{"1\n2\n3\n", []string{"tail", "-1"}, "3\n", 0},
		{"a\nb\n", []string{"grep", "-v", "a"}, "b\n", 0},
		{"a\n", []string{"grep", "z"}, "", 1},
		{"", []string{"true"}, "", 0},
		{"", []string{"false"}, "", 1},
		{"", []string{"sleep", "0.01"}, "", 0},
		{"", []string{"nothing"}, "nothing: applet not found\n", 127},
	} {
		out, status := call(t, c.input, c.args[0], c.args[1:]...)
		if out != c.out || status != c.status {
			t.Errorf("%v: %q %d, want %q %d", c.args, out, status, c.out, c.status)
		}
	}
	for _, name := range []string{"ps", "id", "mount", "hostname", "uname", "date", "free", "df", "ip"} {
		if out, status := call(t, "", name); status != 0 || out == "" {
			t.Errorf("%s: %q %d", name, out, status)
		}
	}
}

func TestDemoCountsAndStopsInOrder(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	p := &proc{ctx: ctx, name: "demo", stdout: write, stderr: write, env: []string{"PORT0=0", "MESOS_TASK_ID=<t1>", "SECRET=s3cret"}}
	ended := make(chan int, 1)
	go func() { ended <- p.run(); write.Close() }()
	lines := bufio.NewScanner(read)
	lines.Scan()
	_, port, ok := strings.Cut(lines.Text(), "]:")
	if !ok {
		t.Fatalf("first line: %q", lines.Text())
	}
	go io.Copy(io.Discard, read)
	page := ""
	for range 2 {
		response, err := http.Get("http://127.0.0.1:" + port + "/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		page = string(body)
	}
	if !strings.Contains(page, "<b>2</b>") || !strings.Contains(page, "&lt;t1&gt;") || strings.Contains(page, "s3cret") {
		t.Errorf("page: %s", page)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if status := <-ended; status != 0 {
		t.Errorf("status %d", status)
	}
}
