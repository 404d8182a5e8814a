package buildinfo

import (
	"os"
	"strings"
	"testing"
)

func TestTheRunningProgramHasABuildID(t *testing.T) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Skip("SKIP: no /proc")
	}
	defer self.Close()
	id, err := ID(self)
	if err != nil || strings.Count(id, "/") != 3 {
		t.Errorf("got %q, %v; want four parts", id, err)
	}
}

func TestWhatIsNoExecutableHasNoBuildID(t *testing.T) {
	if id, err := ID(strings.NewReader("#!/bin/sh\n")); err == nil {
		t.Errorf("got %q of a script", id)
	}
}
