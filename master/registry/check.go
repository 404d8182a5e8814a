package registry

import "fmt"

// Bounds of one operation, so that every store can carry it out as one transaction. They leave room
// for the prefix that a store puts before its keys.
const (
	MaxWrites = 1000
	MaxBytes  = 1000 << 10
	maxKey    = 960
	prefix    = 32
)

// Check says why an operation cannot be written, whatever the store: part of it is too large, or is no
// message. What comes from outside is checked before it is ordered, because a leader whose write fails ends its term.
func Check(op Op) error {
	writes, err := op.Writes()
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	if len(writes) > MaxWrites {
		return fmt.Errorf("%s changes %d keys of the registry, above %d: send it in parts", op, len(writes), MaxWrites)
	}
	size := 0
	for _, w := range writes {
		if len(w.Key) > maxKey {
			return fmt.Errorf("%s has a name of %d bytes as the registry writes it, above %d: choose a shorter one", op, len(w.Key), maxKey)
		}
		size += prefix + len(w.Key) + len(w.Value)
	}
	if size > MaxBytes {
		return fmt.Errorf("%s writes %d bytes to the registry, above %d: send it in parts", op, size, MaxBytes)
	}
	return nil
}
