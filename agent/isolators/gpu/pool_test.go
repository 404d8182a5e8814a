package gpu_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"agora.dev/agora/agent/isolators/gpu"
)

// TestPoolStory runs lines of a story: what is done, and what somebody then has.
func TestPoolStory(t *testing.T) {
	pool := gpu.NewPool([]int{3, 0, 2, 1})
	for _, line := range strings.Split(strings.TrimSpace(`
resize a 2: a=[0 1]
resize b 3: refused requested 3 gpus but only 2 available
resize b 2: b=[2 3]
resize c 1: refused requested 1 gpus but only 0 available
resize a 1: a=[0]
resize c 1: c=[1]
release a: a=[]
resize pod 1: pod=[0]
take pod.x 1: pod.x=[0]
take pod.y 1: refused requested 1 gpus but only 0 available
release b: b=[]
take pod.y 1: pod.y=[2]
take pod.z 0: pod.z=[]
resize pod 2: pod=[0 2]
resize pod 1: pod=[0 2]
release pod.x: pod.x=[]
resize pod 1: pod=[2]
take pod.y.deep 1: pod=[2 0]
release pod: pod=[]
resize d 3: d=[0 2 3]`), "\n") {
		action, want, _ := strings.Cut(line, ": ")
		f := strings.Fields(action)
		count := 0
		if len(f) > 2 {
			fmt.Sscan(f[2], &count)
		}
		var err error
		switch f[0] {
		case "resize":
			err = pool.Resize(f[1], count)
		case "take":
			err = pool.Take(f[1], count)
		case "release":
			pool.Release(f[1])
		}
		who, _, _ := strings.Cut(want, "=")
		got := fmt.Sprintf("%s=%v", who, pool.Of(who))
		if err != nil {
			got = "refused " + err.Error()
		}
		if sorted(got) != sorted(want) {
			t.Errorf("%s: got %s", line, got)
		}
	}
}

// sorted has the numbers of a set in order.
func sorted(text string) string {
	head, list, ok := strings.Cut(strings.TrimSuffix(text, "]"), "[")
	if !ok {
		return text
	}
	f := strings.Fields(list)
	slices.Sort(f)
	return head + strings.Join(f, " ")
}

// TestGPUHasOneOwner does anything in any order: no GPU is lost, and none has two owners.
func TestGPUHasOneOwner(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		const count = 5
		pool := gpu.NewPool([]int{0, 1, 2, 3, 4})
		names := []string{"a", "b", "c"}
		for range 60 {
			root := names[random.IntN(3)]
			nested := root + "." + names[random.IntN(3)]
			switch random.IntN(4) {
			case 0:
				_ = pool.Resize(root, random.IntN(count+1))
			case 1:
				if len(pool.Of(nested)) == 0 {
					_ = pool.Take(nested, random.IntN(3))
				}
			case 2:
				pool.Release(nested)
			case 3:
				if random.IntN(4) == 0 {
					pool.Release(root)
				}
			}
			owned := map[int]string{}
			for _, root := range names {
				for _, each := range pool.Of(root) {
					if owned[each] != "" {
						t.Fatalf("seed %d: %s and %s have %d", seed, owned[each], root, each)
					}
					owned[each] = root
				}
				taken := map[int]bool{}
				for _, n := range names {
					for _, each := range pool.Of(root + "." + n) {
						if owned[each] != root || taken[each] {
							t.Fatalf("seed %d: %s.%s has %d of %v", seed, root, n, each, pool.Of(root))
						}
						taken[each] = true
					}
				}
			}
		}
		for _, root := range names {
			pool.Release(root)
		}
		if err := pool.Resize("all", count); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestAdoptedGPUsStayWhereTheyAre(t *testing.T) {
	pool := gpu.NewPool([]int{0, 1, 2})
	for _, c := range []struct {
		id      string
		indices []int
	}{{"pod", []int{2, 1}}, {"pod.x", []int{1}}, {"empty", nil}} {
		if err := pool.Adopt(c.id, c.indices); err != nil {
			t.Error(err)
		}
	}
	if err := pool.Resize("new", 2); err == nil {
		t.Error("a GPU of an adopted container was given away")
	}
	if err := pool.Adopt("stranger", []int{7}); err == nil || !strings.Contains(err.Error(), "GPU 7") {
		t.Errorf("got %v", err)
	}
	if err := pool.Resize("pod", 1); err != nil || !slices.Equal(pool.Of("pod"), []int{1}) || !slices.Equal(pool.Of("pod.x"), []int{1}) {
		t.Errorf("got %v, %v, %v", pool.Of("pod"), pool.Of("pod.x"), err)
	}
}

func TestPartsOfGPUsAreRefused(t *testing.T) {
	for _, amount := range []float64{0.5, -1, 1.001, 1e9} {
		if n, err := gpu.Count(amount); err == nil {
			t.Errorf("%g is %d", amount, n)
		}
	}
	if n, err := gpu.Count(4); n != 4 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}
