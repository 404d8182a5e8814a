package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// ballastBytes is what a full disk leaves for checkpoints: thousands of records.
const ballastBytes = 4 << 20

// Ballast is space that is kept for the writes that must succeed. On a full disk it is
// given up, so that the agent can still say what it does and why a task failed.
type Ballast struct {
	path   string
	held   bool
	writes int
}

// retakeAfter is how many writes pass before the space is claimed again.
const retakeAfter = 256

// NewBallast takes the space, or goes without when there is none now.
func NewBallast(p Paths) *Ballast {
	b := &Ballast{path: filepath.Join(p.meta(), "ballast")}
	b.Take()
	return b
}

// Take claims the space again once the disk has room for twice as much.
func (b *Ballast) Take() {
	var stat syscall.Statfs_t
	if b.held || os.MkdirAll(filepath.Dir(b.path), 0o755) != nil || syscall.Statfs(filepath.Dir(b.path), &stat) != nil ||
		stat.Bavail*uint64(stat.Bsize) < 2*ballastBytes {
		return
	}
	// Real blocks: a hole would keep nothing.
	b.held = os.WriteFile(b.path, make([]byte, ballastBytes), 0o600) == nil
	if !b.held {
		os.Remove(b.path)
	}
}

// Retry makes a write, and once more without the ballast when the disk is full.
func (b *Ballast) Retry(write func() error) error {
	if b.writes++; !b.held && b.writes%retakeAfter == 0 {
		b.Take()
	}
	err := write()
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	if os.Remove(b.path) != nil {
		return err
	}
	b.held = false
	return write()
}
