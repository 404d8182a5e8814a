package images

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"agora.dev/agora/internal/testkit/imagekit"
)

func TestAPullTellsEverybodyHowFarItsLayersAre(t *testing.T) {
	image, digest := noise(t, 1<<20)
	asked, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	registry := fakeRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, digest) {
			once.Do(func() { close(asked) })
			<-goOn
		}
		return false
	})
	ref := registry + "/app:1"
	if err := imagekit.Push(ref, image); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, Config{Registry: registry})
	var mu sync.Mutex
	heard := map[string][]Event{}
	var group sync.WaitGroup
	for _, name := range []string{ref, "app:1"} {
		group.Go(func() {
			_, err := s.Pull(t.Context(), name, nil, func(e Event) {
				mu.Lock()
				defer mu.Unlock()
				heard[name] = append(heard[name], e)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	<-asked
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ; len(s.Pulls()) != 1 || len(s.Pulls()[0].Names) != 2 || len(s.Pulls()[0].Layers) != 1; <-tick.C {
		if t.Context().Err() != nil {
			t.Fatal("the test ended")
		}
	}
	if p := s.Pulls()[0]; p.Image != ref || p.Layers[0].Digest != digest || p.Layers[0].Done || p.Layers[0].Total < 1<<20 {
		t.Errorf("in the middle: %+v", p)
	}
	close(goOn)
	group.Wait()
	if left := s.Pulls(); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	for _, name := range []string{ref, "app:1"} {
		if events := heard[name]; len(events) == 0 || !events[len(events)-1].Done {
			t.Errorf("%s heard %+v", name, events)
		}
	}
}
