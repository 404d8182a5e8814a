package linux_test

import (
	"io"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
)

// TestSandboxIsWhereTheOperatorSays: --sandbox_directory, for the command and for who enters the container, also after a restart with
// another place.
func TestSandboxIsWhereTheOperatorSays(t *testing.T) {
	w := newWorld(t, func(c *linux.Config) { c.SandboxDirectory = "/box/of/tasks" })
	s := withImage(w.spec("placed", "echo kept > file; pwd; exec sleep 1000"))
	w.mustLaunch(s)
	w.await("the command says where it is", func() bool { return output(s) != "" })
	if output(s) != "/box/of/tasks\n" {
		t.Errorf("the command is in %q", output(s))
	}
	w.reconfigure(t, func(c *linux.Config) { c.SandboxDirectory = "/another" }, s.ID)
	session, err := w.Exec(w.ctx, containerizer.Exec{ID: s.ID + ".look", Command: shell("pwd; cat file")})
	if err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(session.Stdout())
	if _, err := session.Wait(w.ctx); err != nil {
		t.Error(err)
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	if string(said) != "/box/of/tasks\nkept\n" {
		t.Errorf("a session says %q", said)
	}
	w.ends(s.ID)
}
