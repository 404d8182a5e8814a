package allocator_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"agora.dev/agora/master/core"
)

// model is fair sharing written down plainly: for each agent, go down from the root and at each
// level take the child with the smallest weighted share, then the fewest offers, then the name.
type model struct {
	weights map[string]float64
	leaves  []string // "role/./framework"
	got     map[string]int
}

func (m *model) pick() string {
	prefix := ""
	for {
		children := map[string]bool{}
		for _, leaf := range m.leaves {
			if rest, ok := strings.CutPrefix(leaf, prefix); ok {
				step, _, _ := strings.Cut(rest, "/")
				children[prefix+step] = true
			}
		}
		best := slices.MinFunc(slices.Collect(maps.Keys(children)), func(x, y string) int {
			return cmp.Or(cmp.Compare(m.share(x), m.share(y)), cmp.Compare(m.count(x), m.count(y)), cmp.Compare(x, y))
		})
		if slices.Contains(m.leaves, best) {
			return best
		}
		prefix = best + "/"
	}
}

func (m *model) count(node string) (n int) {
	for leaf, got := range m.got {
		if leaf == node || strings.HasPrefix(leaf, node+"/") {
			n += got
		}
	}
	return n
}

func (m *model) share(node string) float64 {
	return float64(m.count(node)) / max(1, m.weights[node])
}

func TestSharesAgreeWithThePlainModel(t *testing.T) {
	roles := []string{"a", "a/b", "a/b/c", "d", "e/f", "e/g", "h"}
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		c, m := newCluster(t), &model{weights: map[string]float64{}, got: map[string]int{}}
		for _, role := range roles {
			m.weights[role] = float64(int(1) << rng.IntN(3)) // exact in binary, so that ties are ties
		}
		commands := []core.AllocatorEvent{core.AllocatorSetWeights{Weights: m.weights}}
		for i := range 1 + rng.IntN(8) {
			role, id := roles[rng.IntN(len(roles))], fmt.Sprintf("f%d", i)
			m.leaves = append(m.leaves, role+"/./"+id)
			commands = append(commands, framework(id, role))
		}
		c.step(commands...)
		offers := c.step(agents(c, 64, "cpus:4;mem:1024")...)
		for range offers {
			m.got[m.pick()]++
		}
		got := map[string]int{}
		for _, o := range offers {
			got[o.Role+"/./"+string(o.Framework)]++
		}
		if !maps.Equal(got, m.got) {
			t.Fatalf("seed %d, weights %v:\n got %v\nwant %v", seed, m.weights, got, m.got)
		}
	}
}
