package cgroups

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteNamesFileAndCause(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pids.max")
	if err := Write(dir, "pids.max", "1"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, "pids.max", "17"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "17" {
		t.Errorf("file holds %q, %v", got, err)
	}
}
