package allocator_test

import (
	"fmt"
	"testing"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
)

func newClusterWith(t testing.TB, config allocator.Config) *cluster {
	c := newCluster(t)
	c.a = allocator.New(config)
	return c
}

func TestNothingIsOfferedAfterAnElectionUntilMostAgentsAreBack(t *testing.T) {
	c := newCluster(t)
	c.step(quotas("a", nil, map[string]float64{"cpus": 100}), core.AllocatorExpectAgents{Count: 5}, framework("f", "a"))
	for i := range 3 {
		if got := c.step(c.agent(fmt.Sprintf("a%d", i), "cpus:1;mem:64")); len(got) > 0 {
			t.Fatalf("offered with %d agents of 5: %v", i+1, got)
		}
	}
	if got := c.step(c.agent("a3", "cpus:1;mem:64")); len(got) != 4 {
		t.Fatalf("4 agents of 5 are back, and %d offers are made", len(got))
	}
}

func TestThePauseAfterAnElectionEnds(t *testing.T) {
	c := newClusterWith(t, allocator.Config{RecoveryTimeout: time.Minute})
	c.step(quotas("a", nil, map[string]float64{"cpus": 100}), core.AllocatorExpectAgents{Count: 5}, framework("f", "a"), c.agent("x", "cpus:1;mem:64"))
	if got := c.wait(59 * time.Second); len(got) > 0 {
		t.Fatalf("offered before a minute is over: %v", got)
	}
	if got := c.wait(time.Second); len(got) != 1 {
		t.Fatalf("after a minute: %v", got)
	}
}

func TestWithoutQuotaNothingIsWaitedFor(t *testing.T) {
	c := newCluster(t)
	if got := c.step(core.AllocatorExpectAgents{Count: 5}, framework("f", "a"), c.agent("x", "cpus:1;mem:64")); len(got) != 1 {
		t.Fatalf("got %v", got)
	}
}

func TestTheWhitelistNamesHosts(t *testing.T) {
	c := newCluster(t)
	on := func(host string) core.AllocatorAddAgent {
		a := c.agent(host, "cpus:1;mem:64")
		a.Info = &mesos.AgentInfo{Hostname: &host}
		return a
	}
	c.step(framework("f", "a"), core.AllocatorSetWhitelist{Hostnames: []string{"h1"}})
	if got := c.step(on("h1"), on("h2")); len(got) != 1 || got[0].Agent != "h1" {
		t.Fatalf("h1 is on the list: %v", got)
	}
	if got := c.step(core.AllocatorSetWhitelist{Any: true}); len(got) != 1 || got[0].Agent != "h2" {
		t.Fatalf("no list any more: %v", got)
	}
}

// TestRandomSortersDrawByWeight expects 3 of 4 agents to go to the role of weight 3, and the frameworks of a role
// to have like shares; the bounds are five standard deviations wide.
func TestRandomSortersDrawByWeight(t *testing.T) {
	c := newClusterWith(t, allocator.Config{Seed: 3, RoleSorter: allocator.SortRandom, FrameworkSorter: allocator.SortRandom})
	c.step(framework("f1", "a"), framework("f2", "b"), framework("f3", "b"), core.AllocatorSetWeights{Weights: map[string]float64{"b": 3}})
	got := tally(c.step(agents(c, 1600, "cpus:4;mem:1024")...))
	for id, want := range map[core.FrameworkID]int{"f1": 400, "f2": 600, "f3": 600} {
		if got[id] < want-100 || got[id] > want+100 {
			t.Errorf("%s got %d, want about %d", id, got[id], want)
		}
	}
}

func TestWeightsFarApartAreDrawnToo(t *testing.T) {
	c := newClusterWith(t, allocator.Config{Seed: 3, RoleSorter: allocator.SortRandom})
	c.step(framework("f1", "a"), framework("f2", "b"), framework("f3", "c"), core.AllocatorSetWeights{Weights: map[string]float64{"b": 1e9, "c": 1e-9}})
	if got := tally(c.step(agents(c, 50, "cpus:4;mem:1024")...)); got["f2"] != 50 {
		t.Errorf("got %v", got)
	}
}

func TestIndivisibleDisksAreOfferedWholeWithinALimit(t *testing.T) {
	c := newCluster(t)
	c.step(framework("f", "a"), quotas("a", nil, map[string]float64{"disk": 150}))
	add := c.agent("x", "cpus:1;mem:64;disk:100")
	for _, size := range []float64{60, 40} {
		name, root := "disk", fmt.Sprint("/m", size)
		add.Total = append(add.Total, &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &size},
			Disk: &mesos.Resource_DiskInfo{Source: &mesos.Resource_DiskInfo_Source{Type: mesos.Resource_DiskInfo_Source_MOUNT.Enum(),
				Mount: &mesos.Resource_DiskInfo_Source_Mount{Root: &root}}}})
	}
	got := c.step(add)
	if disk := read(t, got[0]).Scalar("disk"); disk != 140_000 {
		t.Fatalf("offered %d of 200 GB in pieces of 100, 60 and 40; the limit is 150: %s", disk/1000, read(t, got[0]))
	}
}

func TestALongRefusalOfLittleOutlivesAShortOneOfMore(t *testing.T) {
	c := newCluster(t)
	c.step(framework("f", "*"), framework("g", "*"), core.AllocatorSuppress{ID: "g"})
	small := c.step(c.agent("x", "cpus:1;mem:64"))[0]
	c.step(back(small, time.Hour))
	grown := core.AllocatorUpdateAgent{ID: "x", Info: &mesos.AgentInfo{}, Total: parse(t, "cpus:2;mem:64").Proto()}
	large := c.step(grown)
	if len(large) != 1 {
		t.Fatalf("more than was refused is there: %v", large)
	}
	c.step(back(large[0], 5*time.Second))
	shrunk := core.AllocatorUpdateAgent{ID: "x", Info: &mesos.AgentInfo{}, Total: parse(t, "cpus:1;mem:64").Proto()}
	if got := append(c.step(shrunk), c.wait(10*time.Second)...); len(got) > 0 {
		t.Fatalf("what was refused for an hour is offered after 10 s: %v", got)
	}
}

// TestNestedGuaranteesArePartOfTheirParents has 8 CPUs guaranteed to a, 6 of them to a/b: a itself gets 2 while
// a/b is away.
func TestNestedGuaranteesArePartOfTheirParents(t *testing.T) {
	c := newCluster(t)
	c.step(quotas("a", map[string]float64{"cpus": 8}, map[string]float64{"cpus": 8}), quotas("a/b", map[string]float64{"cpus": 6}, nil),
		framework("own", "a"), framework("other", "o"))
	cpus := map[core.FrameworkID]int64{}
	for _, o := range c.step(agents(c, 10, "cpus:1;mem:64")...) {
		cpus[o.Framework] += read(t, o).Scalar("cpus") / 1000
	}
	if cpus["own"] != 2 || cpus["other"] != 2 {
		t.Fatalf("of 10 CPUs 6 are kept for a/b, 2 more are a's: %v", cpus)
	}
	for _, o := range c.step(framework("nested", "a/b")) {
		cpus[o.Framework] += read(t, o).Scalar("cpus") / 1000
	}
	if cpus["nested"] != 6 {
		t.Fatalf("a/b has 6 CPUs guaranteed: %v", cpus)
	}
}

func TestASharedVolumeIsOfferedOnceInACycleAndAgainInTheNext(t *testing.T) {
	c := newCluster(t)
	volume := special(sharedVolume, 1)
	f, g := framework("f", "a"), framework("g", "a")
	for _, add := range []*core.AllocatorAddFramework{&f, &g} {
		add.Info = info([]string{"a"}, mesos.FrameworkInfo_Capability_SHARED_RESOURCES)
		add.Info.OfferFilters = map[string]*mesos.OfferFilters{"a": {MinAllocatableResources: &mesos.OfferFilters_MinAllocatableResources{}}}
	}
	add := c.agent("x", "cpus:1;mem:64")
	add.Total = append(add.Total, volume.Proto()...)
	c.step(f, g)
	if got := c.step(add); len(got) != 1 || read(t, got[0]).Shared().IsEmpty() {
		t.Fatalf("first cycle: %v", got)
	}
	if got := c.wait(time.Second); len(got) != 1 || read(t, got[0]).Shared().IsEmpty() || got[0].Framework != "g" {
		t.Fatalf("next cycle: %v", got)
	}
}
