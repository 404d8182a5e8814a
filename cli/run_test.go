package cli

import (
	"bytes"
	"strings"
	"testing"
)

func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	app := &App{In: strings.NewReader(""), Out: &out, Err: &errOut, Env: func(string) string { return "" }, Version: "test"}
	code = Main(t.Context(), app, args)
	return code, out.String(), errOut.String()
}

func TestBadFlagsGiveOneLineAndExitUsage(t *testing.T) {
	for _, args := range [][]string{
		{"run"},
		{"run", "a", "b"},
		{"run", "--cpus", "0", "img"},
		{"run", "--cpus", "x", "img"},
		{"run", "--mem", "lots", "img"},
		{"run", "--mem", "-5m", "img"},
		{"run", "-p", "80:x", "img"},
		{"run", "-p", "70000", "img"},
		{"run", "-v", "data:/data", "img"},
		{"run", "-e", "=x", "img"},
		{"run", "--nope", "img"},
		{"ps", "-o", "xml"},
		{"node"},
		{"node", "drain"},
		{"node", "drain", "n", "--grace", "-1s"},
		{"maintenance"},
		{"maintenance", "start"},
		{"maintenance", "schedule", "m", "--start", "soon"},
		{"frobnicate"},
	} {
		code, _, stderr := run(t, args...)
		if code != ExitUsage {
			t.Errorf("agora %v: exit %d, want %d (%s)", args, code, ExitUsage, stderr)
		}
		if strings.Count(strings.TrimSpace(stderr), "\n") != 0 || !strings.HasPrefix(stderr, "agora: ") {
			t.Errorf("agora %v: want one line, got %q", args, stderr)
		}
	}
}

func TestArgumentsSplitAtDash(t *testing.T) {
	o := runOptions{}
	if err := o.fill([]string{"registry:5000/team/Web_App:1.2", "echo", "hi"}, 1); err != nil {
		t.Fatal(err)
	}
	if o.Image != "registry:5000/team/Web_App:1.2" || strings.Join(o.Command, " ") != "echo hi" || o.Name != "web-app" {
		t.Errorf("got %+v", o)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]float64{"64m": 64, "2g": 2048, "128": 128, "1GB": 1024, "512k": 0.5} {
		got, err := parseMiB("--mem", text)
		if err != nil || got != want {
			t.Errorf("parseMiB(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}
