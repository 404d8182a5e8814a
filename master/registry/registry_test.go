package registry

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/maintenance"
	"agora.dev/agora/api/mesos/v1/quota"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
)

func ptr[T any](v T) *T { return &v }

func agentInfo(id string) *mesos.AgentInfo {
	return &mesos.AgentInfo{Hostname: ptr("host-" + id), Port: ptr(int32(5051)), Id: &mesos.AgentID{Value: &id}}
}

// randomOp is any operation on a handful of agents, roles and machines.
func randomOp(rng *rand.Rand) Op {
	id := string(rune('A' + rng.IntN(5)))
	at := time.Unix(0, int64(1+rng.IntN(1e9)))
	machine := &mesos.MachineInfo{Id: &mesos.MachineID{Hostname: ptr("Host/" + id)},
		Mode: []mesos.MachineInfo_Mode{mesos.MachineInfo_UP, mesos.MachineInfo_DRAINING, mesos.MachineInfo_DOWN}[rng.IntN(3)].Enum()}
	config := &quota.QuotaConfig{Role: ptr("role/" + id)}
	if rng.IntN(2) == 0 {
		config.Limits = map[string]*mesos.Value_Scalar{"cpus": {Value: ptr(1.5)}}
	}
	drain := Drain{Info: &mesos.DrainInfo{State: mesos.DrainState_DRAINING.Enum(), Config: &mesos.DrainConfig{}}, Since: at}
	if rng.IntN(2) == 0 {
		drain.Info = &mesos.DrainInfo{State: mesos.DrainState_DRAINED.Enum(), Config: &mesos.DrainConfig{MarkGone: ptr(true)}}
	}
	schedule := &maintenance.Schedule{}
	if rng.IntN(2) == 0 {
		schedule = nil
	}
	return []Op{
		Admit{Info: agentInfo(id), At: at}, Remove{ID: id}, MarkUnreachable{ID: id, At: at}, MarkGone{ID: id, At: at},
		Prune{IDs: []string{id}}, SetDeactivated{ID: id, Deactivated: rng.IntN(2) == 0}, SetDrain{ID: id, Drain: drain},
		SetWeights{Weights: map[string]float64{"role/" + id: float64(1 + rng.IntN(9))}}, SetQuotas{Configs: []*quota.QuotaConfig{config}},
		SetMaintenance{Schedule: schedule, Machines: map[string]*mesos.MachineInfo{MachineKey(machine.Id): machine}},
	}[rng.IntN(10)]
}

func TestKeysAndMemoryTellTheSame(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		contents, pairs := NewContents(), map[string][]byte{}
		for step := range 60 {
			op := randomOp(rng)
			contents.Apply(op)
			writes, err := op.Writes()
			if err != nil {
				t.Fatalf("seed %d: %s: %v", seed, op, err)
			}
			for _, w := range writes {
				if w.Value == nil {
					delete(pairs, w.Key)
				} else {
					pairs[w.Key] = w.Value
				}
			}
			loaded, err := Decode(maps.Clone(pairs))
			if err != nil {
				t.Fatalf("seed %d, step %d, %s: %v", seed, step, op, err)
			}
			if diff := cmp.Diff(contents, loaded, protocmp.Transform()); diff != "" {
				t.Fatalf("seed %d, step %d, %s: memory (-) and keys (+) differ:\n%s", seed, step, op, diff)
			}
		}
	}
}

func TestKeysOfNewerVersionsAreRefused(t *testing.T) {
	for _, key := range []string{"agents/frozen/A", "nothing", "agents/admitted"} {
		if _, err := Decode(map[string][]byte{key: []byte("{}")}); err == nil {
			t.Errorf("key %s was accepted", key)
		}
	}
}

func TestGoneAgentsAreNotAdmittedAnyMore(t *testing.T) {
	c := NewContents()
	c.Apply(Admit{Info: agentInfo("A")})
	c.Apply(MarkUnreachable{ID: "A"})
	c.Apply(MarkGone{ID: "A"})
	if len(c.Admitted)+len(c.Unreachable) != 0 || len(c.Gone) != 1 {
		t.Errorf("got %+v", c)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("agents/admitted/A", []byte(`{"info":"","at":3}`))
	f.Add("quotas/cg", []byte("p"))
	f.Add("maintenance/schedule", []byte("pxyz"))
	f.Fuzz(func(_ *testing.T, key string, value []byte) {
		Decode(map[string][]byte{key: value}) // must not panic
	})
}
