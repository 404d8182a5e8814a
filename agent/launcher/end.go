package launcher

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// killAgain is how often a container that does not end is killed once more: a process may have been
// forked while the others were killed.
const killAgain = 50 * time.Millisecond

// KillUntil kills until done is closed.
func KillUntil(ctx context.Context, id string, done <-chan struct{}, kill func()) error {
	for !Closed(done) {
		kill()
		select {
		case <-done:
		case <-time.After(killAgain):
		case <-ctx.Done():
			return fmt.Errorf("destroy %s: %w", id, ctx.Err())
		}
	}
	return nil
}

// Closed says whether done is.
func Closed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// Below are the containers nested in one and the processes that entered it, the deepest first.
// parents has the parent of each container, empty for none.
func Below(id string, parents map[string]string) (out []string) {
	for other, parent := range parents {
		if parent == id || strings.HasPrefix(other, id+".") {
			out = append(out, other)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out
}
