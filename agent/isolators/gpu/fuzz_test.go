package gpu

import (
	"strings"
	"testing"

	"agora.dev/agora/agent/isolators/gpu/gputest"
)

// FuzzLinkerCache: whatever stands in the file, a name of it stays in its directory.
func FuzzLinkerCache(f *testing.F) {
	cache := gputest.Cache(gputest.Libraries)
	f.Add(cache)
	f.Add(cache[:60])
	f.Add(gputest.Cache(map[string]string{"../x": "y", "": ""}))
	f.Add([]byte("ld.so-1.7.0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseCache(data)
		for _, l := range list {
			if strings.Contains(l.name, "/") || err != nil {
				t.Fatalf("%+v, %v", l, err)
			}
		}
	})
}
