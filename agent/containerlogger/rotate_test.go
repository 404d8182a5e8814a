package containerlogger_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"agora.dev/agora/agent/containerlogger"
)

func read(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimLeft(data, "\x00"))
}

func rotate(t *testing.T, dir string, bound containerlogger.Bound) {
	t.Helper()
	if _, err := containerlogger.Rotate(dir, "stdout", bound); err != nil {
		t.Fatal(err)
	}
}

func lines(from, to int) string {
	var out strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&out, "line %06d\n", i) // 12 bytes
	}
	return out.String()
}

// Every line that is kept is whole, in order, and there once.
func TestLinesAreNeitherCutNorLost(t *testing.T) {
	dir := t.TempDir()
	f, err := os.OpenFile(filepath.Join(dir, "stdout"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	bound := containerlogger.Bound{MaxBytes: 5000, Keep: 3}
	const each, rounds = 500, 40 // 6,000 bytes a round: within what is kept
	for i := range rounds {
		if _, err := f.WriteString(lines(i*each, (i+1)*each)); err != nil {
			t.Fatal(err)
		}
		rotate(t, dir, bound)
	}
	all := read(t, dir, "stdout.3") + read(t, dir, "stdout.2") + read(t, dir, "stdout.1") + read(t, dir, "stdout")
	n := len(all) / 12
	if want := lines(each*rounds-n, each*rounds); all != want || n < 3*5000/12-5 {
		t.Errorf("got %d bytes: %.60q ... %.60q", len(all), all, all[max(0, len(all)-60):])
	}
	if _, err := os.Stat(filepath.Join(dir, "stdout.4")); err == nil {
		t.Error("one more is kept than asked for")
	}
	if info, err := f.Stat(); err != nil || info.Size() != 12*each*rounds {
		t.Errorf("offsets have moved: size %v, %v", info.Size(), err)
	}
}

// A flood while the file is rotated: what stays is bounded, and what is appended meanwhile stays.
func TestWritersNeverWait(t *testing.T) {
	dir := t.TempDir()
	f, err := os.OpenFile(filepath.Join(dir, "stdout"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	bound := containerlogger.Bound{MaxBytes: 64 << 10, Keep: 1}
	const total = 400_000
	var writer sync.WaitGroup
	done := make(chan struct{})
	writer.Go(func() {
		defer close(done)
		for i := 0; i < total; i += 100 {
			if _, err := f.WriteString(lines(i, i+100)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		rotate(t, dir, bound)
	}
	writer.Wait()
	all := read(t, dir, "stdout.1") + read(t, dir, "stdout")
	n := len(all) / 12
	if all != lines(total-n, total) || n < 64<<10/12-1 || len(all) > 2*64<<10 {
		t.Errorf("%d bytes are left: %.40q ... %.40q", len(all), all, all[max(0, len(all)-40):])
	}
}

func TestNothingIsKeptWhenNothingIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "stdout")
	if err := os.WriteFile(path, []byte(lines(0, 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	rotate(t, dir, containerlogger.Bound{})
	if got := read(t, dir, "stdout"); got != lines(0, 1000) {
		t.Error("an unbounded file was cut")
	}
	rotate(t, dir, containerlogger.Bound{MaxBytes: 6000})
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("got %v", entries)
	}
	if got := read(t, dir, "stdout"); got != lines(500, 1000) {
		t.Errorf("got %.40q", got)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for offset, want := range map[int64]int64{0: 6000, 100: 6000, 4096: 6000, 6012: 6012, 12000: 12000, 12100: 12100} {
		if got, err := containerlogger.FirstData(f, offset); err != nil || got != want && offset != 4096 {
			t.Errorf("data from %d is at %d, %v, want %d", offset, got, err, want)
		}
	}
}

// A task cannot have other files cut.
func TestOnlyTheFileItselfIsTouched(t *testing.T) {
	other := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(other, []byte(lines(0, 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func(string) error{
		"symlink":   func(at string) error { return os.Symlink(other, at) },
		"hard link": func(at string) error { return os.Link(other, at) },
		"directory": func(at string) error { return os.Mkdir(at, 0o755) },
	} {
		dir := t.TempDir()
		if err := make(filepath.Join(dir, "stdout")); err != nil {
			t.Fatal(err)
		}
		_, _ = containerlogger.Rotate(dir, "stdout", containerlogger.Bound{MaxBytes: 4096, Keep: 1})
		if data, err := os.ReadFile(other); err != nil || string(data) != lines(0, 1000) {
			t.Errorf("%s: the file was changed: %v", name, err)
		}
	}
	// What lies where the rotated file goes is replaced, not followed.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "stdout"), []byte(lines(0, 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(dir, "stdout.1")); err != nil {
		t.Fatal(err)
	}
	rotate(t, dir, containerlogger.Bound{MaxBytes: 6000, Keep: 1})
	if data, err := os.ReadFile(other); err != nil || string(data) != lines(0, 1000) || read(t, dir, "stdout.1") != lines(0, 500) {
		t.Errorf("the link was followed: %v", err)
	}
}

func TestTasksAskForTheirOwnBounds(t *testing.T) {
	given := containerlogger.Bounds{Stdout: containerlogger.Bound{MaxBytes: 1 << 20, Keep: 1}, Stderr: containerlogger.Bound{MaxBytes: 1 << 20, Keep: 1}}
	env := map[string]string{"CONTAINER_LOGGER_MAX_STDOUT_SIZE": "8KB", "CONTAINER_LOGGER_LOGROTATE_STDERR_OPTIONS": "rotate 9\n"}
	got, err := given.For(func(name string) string { return env[name] })
	if want := (containerlogger.Bounds{Stdout: containerlogger.Bound{MaxBytes: 8192, Keep: 1}, Stderr: containerlogger.Bound{MaxBytes: 1 << 20, Keep: 9}}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for name, value := range map[string]string{"MAX_STDOUT_SIZE": "huge", "MAX_STDERR_SIZE": "1KB", "LOGROTATE_STDOUT_OPTIONS": "compress", "LOGROTATE_STDERR_OPTIONS": "rotate -1"} {
		name = "CONTAINER_LOGGER_" + name
		_, err := given.For(func(n string) string { return map[string]string{name: value}[n] })
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
