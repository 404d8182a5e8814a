package images

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestExecutableIsReadAgainOnlyWhenItChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "binary")
	write := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // who reads with it fails
	var h hashed
	digest := func(ctx context.Context) (string, error) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return h.digest(ctx, f)
	}
	write("one")
	if _, err := digest(ended); err == nil {
		t.Error("nothing was read, and there is a digest")
	}
	first, err := digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := digest(ended); err != nil || again != first {
		t.Errorf("unchanged: %s, %v, want %s", again, err, first)
	}
	write("three") // in place
	second, err := digest(t.Context())
	if err != nil || second == first {
		t.Errorf("written to: %s, %v", second, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write("seven") // of the same size
	if third, err := digest(t.Context()); err != nil || third == second {
		t.Errorf("replaced: %s, %v", third, err)
	}
}
