package gpu

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
)

// Supply is what an agent's containers can have. Without a driver there is nothing.
type Supply struct {
	Driver *Driver
	Pool   *Pool
}

// Pool says which container has which GPUs, by index. What a pod has belongs to its root;
// containers nested in it take from that. Its methods may be called from any goroutine.
type Pool struct {
	mu   sync.Mutex
	free []int
	pods map[string]*pod
}

type pod struct {
	has   []int
	taken map[string][]int // by nested container
}

// NewPool makes one of GPUs.
func NewPool(indices []int) *Pool {
	return &Pool{free: slices.Sorted(slices.Values(indices)), pods: map[string]*pod{}}
}

// Count reads an amount of the resource gpus.
func Count(amount float64) (int, error) {
	if amount < 0 || amount != math.Trunc(amount) || amount > 1<<20 {
		return 0, fmt.Errorf("%g gpus: the 'gpus' resource must be an unsigned integer", amount)
	}
	return int(amount), nil
}

// Resize gives a pod as many as it is to have. What nested containers have taken is not
// taken away: it goes with a later call, when they have ended.
func (p *Pool) Resize(root string, count int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.of(root)
	if more := count - len(own.has); more > 0 {
		return p.grow(own, more)
	}
	for i := len(own.has) - 1; i >= 0 && len(own.has) > count; i-- {
		if each := own.has[i]; !own.isTaken(each) {
			own.has = slices.Delete(own.has, i, i+1)
			p.release(each)
		}
	}
	return nil
}

// Take gives a nested container some of its pod's, which gets more when it has too few: the
// news that a pod grows may come after the container that it grows for.
func (p *Pool) Take(id string, count int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if count == 0 {
		return nil
	}
	own := p.of(rootOf(id))
	left := slices.DeleteFunc(slices.Clone(own.has), own.isTaken)
	if more := count - len(left); more > 0 {
		before := len(own.has)
		if err := p.grow(own, more); err != nil {
			return err
		}
		left = append(left, own.has[before:]...)
	}
	own.taken[id] = slices.Clone(left[:count])
	return nil
}

// Of are those of a container; a nested one that has taken none has none.
func (p *Pool) Of(id string) []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.pods[rootOf(id)]
	switch {
	case own == nil:
		return nil
	case id == rootOf(id):
		return slices.Sorted(slices.Values(own.has))
	}
	return slices.Sorted(slices.Values(own.taken[id]))
}

// Adopt notes what a container has had since before this pool, or says why it cannot.
func (p *Pool) Adopt(id string, indices []int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.of(rootOf(id))
	for _, each := range indices {
		if at := slices.Index(p.free, each); at >= 0 {
			p.free = slices.Delete(p.free, at, at+1)
			own.has = append(own.has, each)
		} else if !slices.Contains(own.has, each) {
			return fmt.Errorf("container %s has GPU %d, which is not among those of this agent, or is another's", id, each)
		}
	}
	if id != rootOf(id) && len(indices) > 0 {
		own.taken[id] = slices.Clone(indices)
	}
	return nil
}

// Release takes back what a container had that has ended.
func (p *Pool) Release(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own := p.pods[rootOf(id)]
	if own == nil {
		return
	}
	if id != rootOf(id) {
		delete(own.taken, id)
		return
	}
	p.release(own.has...)
	delete(p.pods, id)
}

func (p *Pool) of(root string) *pod {
	if p.pods[root] == nil {
		p.pods[root] = &pod{taken: map[string][]int{}}
	}
	return p.pods[root]
}

func (p *Pool) grow(own *pod, more int) error {
	if more > len(p.free) {
		return fmt.Errorf("requested %d gpus but only %d available", more, len(p.free))
	}
	own.has = append(own.has, p.free[:more]...)
	p.free = slices.Clone(p.free[more:])
	return nil
}

func (p *Pool) release(indices ...int) {
	p.free = slices.Sorted(slices.Values(append(p.free, indices...)))
}

func (o *pod) isTaken(index int) bool {
	for _, taken := range o.taken {
		if slices.Contains(taken, index) {
			return true
		}
	}
	return false
}

func rootOf(id string) string {
	root, _, _ := strings.Cut(id, ".")
	return root
}
