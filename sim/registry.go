package sim

import (
	"maps"
	"time"

	"agora.dev/agora/master/registry"
)

// registryStore is the durable store of the masters: it survives all of them, and takes
// writes only from the leader whose token is the newest.
type registryStore struct {
	w     *world
	keys  map[string][]byte
	token uint64
}

func newRegistryStore(w *world) *registryStore {
	return &registryStore{w: w, keys: map[string][]byte{}}
}

// elect fences off every leader before this one.
func (r *registryStore) elect() (token uint64) {
	r.token++
	return r.token
}

func (r *registryStore) load() *registry.Contents {
	contents, err := registry.Decode(maps.Clone(r.keys))
	if err != nil {
		r.w.fail("registry does not load: %w", err)
	}
	return contents
}

// apply makes op durable after a while and then reports; done is not called when the
// caller has died, and the write may have been made all the same.
func (r *registryStore) apply(token uint64, op registry.Op, done func(error)) {
	commit := r.w.upTo(20 * time.Millisecond)
	r.w.after(commit, func() {
		if token != r.token {
			r.w.after(r.w.latency(), func() { done(errFenced) })
			return
		}
		writes, err := op.Writes()
		if err != nil {
			r.w.fail("registry %s: %w", op, err)
		}
		for _, write := range writes {
			if write.Value == nil {
				delete(r.keys, write.Key)
				continue
			}
			r.keys[write.Key] = write.Value
		}
		r.w.after(r.w.latency(), func() { done(nil) })
	})
}

type fenced struct{}

func (fenced) Error() string { return "another master leads" }

var errFenced = fenced{}
