package images

import (
	"slices"
	"strings"
	"sync"
	"time"

	"agora.dev/agora/api/agora/pulls"
)

// underway are the pulls of a store, by the key under which they are one.
type underway struct {
	mu    sync.Mutex
	pulls map[string]*watched
}

// watched is a pull with those who wait for it.
type watched struct {
	mu      sync.Mutex
	waiting int // guarded by underway's mutex
	pull    pulls.Pull
	hears   map[int]Progress
	next    int
}

// watch adds somebody who waits for a pull; leave takes him away.
func (u *underway) watch(key string, ref Reference, asked string, hear Progress) (w *watched, leave func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pulls == nil {
		u.pulls = map[string]*watched{}
	}
	w = u.pulls[key]
	if w == nil {
		w = &watched{pull: pulls.Pull{Image: ref.String(), Since: time.Now().UTC()}, hears: map[int]Progress{}}
		u.pulls[key] = w
	}
	w.waiting++
	mine := w.join(asked, hear)
	return w, func() {
		w.leave(mine)
		u.mu.Lock()
		defer u.mu.Unlock()
		if w.waiting--; w.waiting == 0 && u.pulls[key] == w {
			delete(u.pulls, key)
		}
	}
}

func (w *watched) join(asked string, hear Progress) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.pull.Names, asked) {
		w.pull.Names = append(w.pull.Names, asked)
	}
	w.next++
	if hear != nil {
		w.hears[w.next] = hear
	}
	return w.next
}

func (w *watched) leave(mine int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.hears, mine)
}

// event notes how far a layer has come, and tells everybody who waits.
func (w *watched) event(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	layer := pulls.Layer{Digest: e.Layer, Current: e.Current, Total: e.Total, Done: e.Done}
	at := slices.IndexFunc(w.pull.Layers, func(l pulls.Layer) bool { return l.Digest == e.Layer })
	if at < 0 {
		w.pull.Layers = append(w.pull.Layers, layer)
	} else if !w.pull.Layers[at].Done {
		w.pull.Layers[at] = layer
	}
	for _, hear := range w.hears {
		hear(e)
	}
}

// Pulls are the pulls that are under way, by the names of their images.
func (s *Store) Pulls() []pulls.Pull {
	s.underway.mu.Lock()
	defer s.underway.mu.Unlock()
	out := []pulls.Pull{}
	for _, w := range s.underway.pulls {
		w.mu.Lock()
		p := w.pull
		p.Names, p.Layers = slices.Clone(p.Names), slices.Clone(p.Layers)
		w.mu.Unlock()
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b pulls.Pull) int { return strings.Compare(a.Image, b.Image) })
	return out
}
