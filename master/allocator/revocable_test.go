package allocator_test

import (
	"testing"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/core"
)

// takenBack is the text with everything revocable.
func takenBack(t *testing.T, text string) []*mesos.Resource {
	list := parse(t, text).Proto()
	for _, r := range list {
		r.Revocable = &mesos.Resource_RevocableInfo{}
	}
	return list
}

// TestAnEstimateBelowWhatIsHeldOffersNothing has an agent take back what is in use: what comes home
// then is owed, and is not free.
func TestAnEstimateBelowWhatIsHeldOffersNothing(t *testing.T) {
	c := newCluster(t)
	soft := framework("soft", "*")
	soft.Info = info([]string{"*"}, mesos.FrameworkInfo_Capability_REVOCABLE_RESOURCES)
	c.step(framework("hard", "*"), soft, core.AllocatorSuppress{ID: "hard"})
	add := c.agent("x", "cpus:1;mem:64")
	first := c.step(add)[0]
	estimate := func(text string) []core.AllocatorOffer {
		return c.step(core.AllocatorLendAgent{ID: "x", Revocable: takenBack(t, text)})
	}
	lent := estimate("cpus:3;mem:64")
	if len(lent) != 1 || lent[0].Framework != "soft" || read(t, lent[0]).Revocable().Scalar("cpus") != 3000 {
		t.Fatalf("got %v, want 3 revocable CPUs for soft", lent)
	}
	if got := estimate("cpus:1;mem:64"); len(got) != 0 {
		t.Fatalf("all is held and more, and %v is offered", got)
	}
	half := lent[0]
	half.Resources = lent[0].Resources[:0:0]
	for _, r := range takenBack(t, "cpus:1.5;mem:32") {
		r.AllocationInfo = &mesos.Resource_AllocationInfo{Role: &lent[0].Role}
		half.Resources = append(half.Resources, r)
	}
	c.step(back(half, 0))
	for _, o := range c.wait(time.Second) {
		if cpus := read(t, o).Scalar("cpus"); cpus != 0 {
			t.Fatalf("1.5 of 1 revocable CPU is still held, and %d thousandths are offered", cpus)
		}
	}
	c.step(back(first, 0))
	cpus := int64(0)
	for _, o := range append(estimate("cpus:2;mem:64"), c.wait(time.Second)...) {
		cpus += read(t, o).Revocable().Scalar("cpus")
	}
	if cpus != 500 {
		t.Fatalf("of 2 revocable CPUs 1.5 are held, and %d thousandths are offered", cpus)
	}
}

// TestRevocableResourcesAreForThoseWhoAskForThem keeps them from a framework without the capability.
func TestRevocableResourcesAreForThoseWhoAskForThem(t *testing.T) {
	c := newCluster(t)
	add := c.agent("x", "cpus:1;mem:64")
	add.Total = append(add.Total, takenBack(t, "cpus:2;mem:64")...)
	got := c.step(framework("hard", "*"), add)
	if len(got) != 1 || !read(t, got[0]).Revocable().IsEmpty() {
		t.Fatalf("got %v, want what is not revocable only", got)
	}
	soft := framework("soft", "*")
	soft.Info = info([]string{"*"}, mesos.FrameworkInfo_Capability_REVOCABLE_RESOURCES)
	got = c.step(soft)
	if len(got) != 1 || got[0].Framework != "soft" || !read(t, got[0]).NonRevocable().IsEmpty() {
		t.Fatalf("got %v, want the revocable resources for soft", got)
	}
}

// TestAnEstimateLeavesAChangeAlone has disk reserved whose change the core does not know of yet when the agent lends more.
func TestAnEstimateLeavesAChangeAlone(t *testing.T) {
	c := newCluster(t)
	c.step(c.agent("x", "cpus:1;mem:64;disk:100"))
	c.step(core.AllocatorChange{Asked: 1, Agent: "x", From: parse(t, "disk:100").Proto(), To: parse(t, "disk(r):100").Proto()})
	c.step(core.AllocatorLendAgent{ID: "x", Revocable: takenBack(t, "cpus:2")})
	got := c.step(framework("f", "r"))
	if len(got) != 1 || read(t, got[0]).Reserved().Scalar("disk") != 100_000 {
		t.Errorf("got %v, want the reserved disk", got)
	}
}
