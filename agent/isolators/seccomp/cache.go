package seccomp

import (
	"encoding/json"
	"fmt"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Cache keeps what Compile made of profiles: most containers of a machine have the same.
// The zero value is ready.
type Cache struct {
	mu   sync.Mutex
	made map[string][]byte // by profile, as JSON
}

// kept bounds the cache; a filter has some KiB.
const kept = 32

// Compile is the function of that name. Its result is not to be changed.
func (c *Cache) Compile(s *specs.LinuxSeccomp) ([]byte, error) {
	key, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	c.mu.Lock()
	code, found := c.made[string(key)]
	c.mu.Unlock()
	if found {
		return code, nil
	}
	if code, err = Compile(s); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == nil || len(c.made) >= kept {
		c.made = map[string][]byte{}
	}
	c.made[string(key)] = code
	return code, nil
}
