package launcher

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// IgnoredSignals is the set of signals that this process ignores: bit n-1 is signal n. A program
// that nohup started ignores some, and so would all that it executes.
func IgnoredSignals() (uint64, error) {
	const file, field = "/proc/self/status", "SigIgn:"
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("ignored signals: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if set, ok := strings.CutPrefix(line, field); ok {
			ignored, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
			if err != nil {
				return 0, fmt.Errorf("ignored signals: %s of %s: %w", field, file, err)
			}
			return ignored, nil
		}
	}
	return 0, fmt.Errorf("ignored signals: %s has no %s", file, field)
}
