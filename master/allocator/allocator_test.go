package allocator_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
)

func TestAgentsAreDividedByWeight(t *testing.T) {
	c := newCluster(t)
	c.step(framework("f1", "a"), framework("f2", "b"), core.AllocatorSetWeights{Weights: map[string]float64{"b": 3}})
	got := tally(c.step(agents(c, 40, "cpus:4;mem:1024")...))
	if got["f1"] != 10 || got["f2"] != 30 {
		t.Fatalf("got %v, want 10 and 30", got)
	}
}

func TestSiblingRolesAreEqualHoweverManyFrameworksAreBelow(t *testing.T) {
	c := newCluster(t)
	c.step(framework("f1", "a"), framework("f2", "b/x"), framework("f3", "b/y"), framework("f4", "b"))
	got := tally(c.step(agents(c, 60, "cpus:4;mem:1024")...))
	want := map[core.FrameworkID]int{"f1": 30, "f2": 10, "f3": 10, "f4": 10}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestDeclinedResourcesGoToTheNextAndComeBackWhenTheFilterEnds(t *testing.T) {
	c := newCluster(t)
	c.step(framework("f1", "*"), framework("f2", "*"))
	first := c.step(c.agent("a", "cpus:4;mem:1024"))
	second := c.step(back(first[0], 5*time.Second))
	if len(second) != 1 || second[0].Framework == first[0].Framework {
		t.Fatalf("got %v after a decline by %s", second, first[0].Framework)
	}
	if got := c.step(back(second[0], 365*24*time.Hour)); len(got) != 0 {
		t.Fatalf("filtered by both, but offered: %v", got)
	}
	if got := c.wait(5 * time.Second); len(got) != 1 || got[0].Framework != first[0].Framework {
		t.Fatalf("after 5 s: got %v", got)
	}
}

func TestReviveForgetsFiltersAndSuppressStopsOffers(t *testing.T) {
	c := newCluster(t)
	c.step(framework("f", "*"))
	offers := c.step(c.agent("a", "cpus:4;mem:1024"))
	if got := c.step(back(offers[0], time.Hour)); len(got) != 0 {
		t.Fatal(got)
	}
	c.wait(time.Second)
	offers = c.step(core.AllocatorRevive{ID: "f"})
	if len(offers) != 1 {
		t.Fatal("nothing after REVIVE")
	}
	if got := c.step(core.AllocatorSuppress{ID: "f"}, back(offers[0], 0)); len(got) != 0 {
		t.Fatal("offered although suppressed")
	}
}

func TestReservedResourcesGoToTheirRoleAndBelowOnly(t *testing.T) {
	c := newCluster(t)
	c.step(framework("f1", "a/b"), framework("f2", "c"))
	for _, o := range c.step(c.agent("x", "cpus(a):2;mem(a):64;cpus:1;mem:64"), c.agent("y", "cpus:1;mem:64")) {
		if got := read(t, o).ReservedTo("a"); o.Framework == "f2" && !got.IsEmpty() {
			t.Fatalf("f2 was offered %s", got)
		} else if o.Framework == "f1" && o.Agent == "x" && got.Scalar("cpus") != 2000 {
			t.Fatalf("f1 was offered %s", read(t, o))
		}
	}
}

func TestALimitIsNeverPassed(t *testing.T) {
	c := newCluster(t)
	c.step(framework("f", "a"), quotas("a", nil, map[string]float64{"cpus": 6, "mem": 600}))
	var cpus int64
	for _, o := range c.step(agents(c, 5, "cpus:4;mem:400")...) {
		cpus += read(t, o).Scalar("cpus")
	}
	if cpus != 6000 {
		t.Fatalf("offered %d milli CPUs, the limit is 6", cpus)
	}
}

func TestHeadroomIsKeptForAGuaranteeThatNobodyUsesYet(t *testing.T) {
	c := newCluster(t)
	c.step(framework("f", "other"), quotas("a", map[string]float64{"cpus": 8}, nil))
	var cpus int64
	for _, o := range c.step(agents(c, 5, "cpus:4;mem:400")...) {
		cpus += read(t, o).Scalar("cpus")
	}
	if cpus != 12_000 {
		t.Fatalf("offered %d milli CPUs of 20, 8 are guaranteed to another role", cpus)
	}
	got := c.step(framework("g", "a"))
	if tally(got)["g"] == 0 {
		t.Fatalf("the guaranteed role got nothing: %v", got)
	}
}

func TestConstraintsExcludeAgents(t *testing.T) {
	c := newCluster(t)
	rack := func(name, value string) core.AllocatorAddAgent {
		a, key := c.agent(name, "cpus:4;mem:1024"), "rack"
		a.Info = &mesos.AgentInfo{Attributes: []*mesos.Attribute{{Name: &key, Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: &value}}}}
		return a
	}
	pattern := "r[12]"
	f := framework("f", "a")
	f.Constraints = &scheduler.OfferConstraints{RoleConstraints: map[string]*scheduler.OfferConstraints_RoleConstraints{"a": {
		Groups: []*scheduler.OfferConstraints_RoleConstraints_Group{{AttributeConstraints: []*scheduler.AttributeConstraint{{
			Selector: &scheduler.AttributeConstraint_Selector{Selector: &scheduler.AttributeConstraint_Selector_AttributeName{AttributeName: "rack"}},
			Predicate: &scheduler.AttributeConstraint_Predicate{Predicate: &scheduler.AttributeConstraint_Predicate_TextMatches_{
				TextMatches: &scheduler.AttributeConstraint_Predicate_TextMatches{Regex: &pattern}}}}}}}}}}
	if err := allocator.CheckConstraints(f.Constraints); err != nil {
		t.Fatal(err)
	}
	c.step(f)
	got := c.step(rack("x", "r2"), rack("y", "r3"), rack("z", "r22"))
	if len(got) != 1 || got[0].Agent != "x" {
		t.Fatalf("got %v, want x only", got)
	}
}

func TestRegexesAreBounded(t *testing.T) {
	for _, pattern := range []string{"(((a{100}){100}){100})", "[", "a{1000}"} {
		p := &scheduler.OfferConstraints{RoleConstraints: map[string]*scheduler.OfferConstraints_RoleConstraints{"a": {
			Groups: []*scheduler.OfferConstraints_RoleConstraints_Group{{AttributeConstraints: []*scheduler.AttributeConstraint{{
				Predicate: &scheduler.AttributeConstraint_Predicate{Predicate: &scheduler.AttributeConstraint_Predicate_TextMatches_{
					TextMatches: &scheduler.AttributeConstraint_Predicate_TextMatches{Regex: &pattern}}}}}}}}}}
		if allocator.CheckConstraints(p) == nil {
			t.Errorf("%s was accepted", pattern)
		}
	}
}

func TestGPUsRevocablesAndMinimum(t *testing.T) {
	c := newCluster(t)
	gpu := framework("g", "*")
	gpu.Info = info([]string{"*"}, mesos.FrameworkInfo_Capability_GPU_RESOURCES)
	c.step(framework("f", "*"), gpu)
	for _, o := range c.step(c.agent("x", "cpus:4;mem:64;gpus:1"), c.agent("tiny", "cpus:0.005;mem:8")) {
		if o.Agent == "tiny" || o.Framework != "g" {
			t.Fatalf("unexpected offer of %s to %s", o.Agent, o.Framework)
		}
	}
}

// TestRandomHistoriesKeepTheBooksAndRepeat runs random commands, twice each.
func TestRandomHistoriesKeepTheBooksAndRepeat(t *testing.T) {
	for seed := range uint64(60) {
		first, second := history(t, seed), history(t, seed)
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("seed %d: two runs differ", seed)
		}
	}
}

func history(t *testing.T, seed uint64) (log []string) {
	c, rng := newCluster(t), rand.New(rand.NewPCG(seed, 9))
	var held []core.AllocatorOffer
	roles := []string{"*", "a", "a/b", "a/b/c", "d"}
	for range 150 {
		var batch []core.AllocatorEvent
		for range 1 + rng.IntN(6) {
			batch = append(batch, command(c, rng, roles, &held))
		}
		if rng.IntN(10) == 0 {
			c.now = c.now.Add(time.Duration(rng.IntN(8)) * time.Second)
		}
		offers := c.step(batch...)
		for _, o := range offers {
			log = append(log, fmt.Sprint(o.Framework, o.Role, o.Agent, read(t, o)))
		}
		held = append(held, offers...)
	}
	return log
}

func command(c *cluster, rng *rand.Rand, roles []string, held *[]core.AllocatorOffer) core.AllocatorEvent {
	f, a := fmt.Sprintf("f%d", rng.IntN(5)), fmt.Sprintf("a%d", rng.IntN(6))
	role := roles[rng.IntN(len(roles))]
	switch rng.IntN(16) {
	case 0, 1:
		return framework(f, role, "e")
	case 2, 3:
		return c.agent(a, []string{"cpus:4;mem:1024;ports:[1-9]", "cpus(a):2;mem:100", "cpus:8;mem(a/b):500;mem:90"}[rng.IntN(3)])
	case 4:
		return core.AllocatorRemoveFramework{ID: core.FrameworkID(f)}
	case 5:
		return core.AllocatorRemoveAgent{ID: core.AgentID(a)}
	case 6:
		return core.AllocatorSuppress{ID: core.FrameworkID(f)}
	case 7:
		return core.AllocatorRevive{ID: core.FrameworkID(f)}
	case 8:
		return core.AllocatorSetWeights{Weights: map[string]float64{role: float64(1 + rng.IntN(4))}}
	case 9:
		return quotas("d", map[string]float64{"cpus": float64(rng.IntN(9))}, map[string]float64{"mem": float64(rng.IntN(900))})
	case 10:
		return core.AllocatorDeactivateFramework{ID: core.FrameworkID(f)}
	case 11:
		return core.AllocatorActivateFramework{ID: core.FrameworkID(f)}
	}
	if len(*held) == 0 {
		return core.AllocatorRevive{ID: core.FrameworkID(f)}
	}
	i := rng.IntN(len(*held))
	o := (*held)[i]
	*held = append((*held)[:i], (*held)[i+1:]...)
	return back(o, time.Duration(rng.IntN(3))*time.Second)
}
