package cgroups

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPressureIsRead(t *testing.T) {
	for content, want := range map[string]Pressure{
		"some avg10=12.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=3.25 avg60=0.00 avg300=0.00 total=0\n": {12.5, 3.25},
		"some avg10=100.00 avg60=1.00 avg300=0.00 total=1\n":                                                {100, 0},
	} {
		path := filepath.Join(t.TempDir(), "cpu.pressure")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadPressure(path); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", content, got, err, want)
		}
		if p, ok := (Group{V2: true, Paths: map[string]string{"": filepath.Dir(path)}}).WaitsForCPU(); !ok || p != want {
			t.Errorf("%q of a group: got %v, %v; want %v", content, p, ok, want)
		}
	}
	path := filepath.Join(t.TempDir(), "cpu.pressure")
	for _, content := range []string{"", "some total=3\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadPressure(path); err == nil {
			t.Errorf("%q: got %v, want an error", content, got)
		}
	}
	if p, ok := (Group{}).WaitsForCPU(); ok {
		t.Errorf("version 1 gives %v", p)
	}
}
