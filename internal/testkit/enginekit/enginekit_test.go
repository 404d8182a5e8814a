package enginekit

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestEngineThatDiesAtItsStartIsTold: by a child, whose test fails.
func TestEngineThatDiesAtItsStartIsTold(t *testing.T) {
	const inChild = "ENGINEKIT_CHILD"
	if os.Getenv(inChild) != "" {
		Start(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIP: needs root")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dockerd"), []byte("#!/bin/sh\necho no room; exit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run", "^"+t.Name()+"$")
	child.Env = append(os.Environ(), inChild+"=1", "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := child.CombinedOutput()
	if err == nil || ctx.Err() != nil || !strings.Contains(string(out), "dockerd ended: exit status 3") || !strings.Contains(string(out), "no room") {
		t.Errorf("got %v, %v\n%s", err, ctx.Err(), out)
	}
}
