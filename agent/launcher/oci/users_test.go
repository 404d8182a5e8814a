package oci_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agora.dev/agora/agent/launcher/oci"
)

// TestRuntimesWithoutUserNamespacesAreNamed asks programs that tell what they can do, and
// one that does not.
func TestRuntimesWithoutUserNamespacesAreNamed(t *testing.T) {
	for name, c := range map[string]struct{ features, want string }{
		"without": {`{"ociVersionMin":"1.0.0","linux":{"namespaces":["mount","pid"]}}`, "without version 7) makes no user namespaces, only mount, pid; use runc, crun, or --launcher=native"},
		"with":    {`{"linux":{"namespaces":["mount","user"]}}`, ""},
		"silent":  {`unknown command`, ""},
	} {
		script := "#!/bin/sh\ncase $1 in features) echo '" + c.features + "';; *) echo '" + name + " version 7'; echo more;; esac\n"
		runtime := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(runtime, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		switch err := oci.CheckUsers(t.Context(), runtime); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), runtime)):
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
