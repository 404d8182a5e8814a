package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhereTheLogGoesAndWhatIsShown(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name    string
		options Options
		stderr  bool   // a line comes there
		file    string // or in this file
		shown   string
	}{
		{"nothing said", Options{}, true, "", ""},
		{"quiet", Options{Quiet: true}, false, "", ""},
		{"a file", Options{File: dir + "/a.log"}, false, dir + "/a.log", dir + "/a.log"},
		{"a directory", Options{Dir: dir}, false, dir + "/agora-agent.log", dir + "/agora-agent.log"},
		{"both", Options{Dir: dir, File: dir + "/b.log"}, false, dir + "/b.log", dir + "/b.log"},
		{"somebody else's", Options{External: "/var/log/agora"}, true, "", "/var/log/agora"},
		{"both written", Options{External: "/var/log/agora", File: dir + "/c.log"}, false, dir + "/c.log", "/var/log/agora"},
		{"warnings only", Options{Level: "WARNING"}, false, "", ""},
	} {
		var stderr bytes.Buffer
		log, err := c.options.Open("agent", &stderr)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		log.Info("hello")
		if err := log.Close(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := strings.Contains(stderr.String(), "hello"); got != c.stderr {
			t.Errorf("%s: on standard error: %v, want %v", c.name, got, c.stderr)
		}
		if c.file != "" {
			if text, err := os.ReadFile(c.file); err != nil || !strings.Contains(string(text), "hello") {
				t.Errorf("%s: %s holds %q, %v", c.name, c.file, text, err)
			}
		}
		if got := c.options.Shown("agent"); got != c.shown {
			t.Errorf("%s: %q is shown, want %q", c.name, got, c.shown)
		}
	}
}

func TestALogThatCannotBeIsAnError(t *testing.T) {
	if _, err := (Options{Level: "LOUD"}).Open("agent", os.Stderr); err == nil || !strings.Contains(err.Error(), "--logging_level=LOUD is unknown") {
		t.Errorf("level: %v", err)
	}
	missing := filepath.Join(t.TempDir(), "none")
	if _, err := (Options{Dir: missing}).Open("agent", os.Stderr); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("directory: %v", err)
	}
}
