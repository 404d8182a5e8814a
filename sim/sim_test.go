package sim

import (
	"maps"
	"slices"
	"testing"

	"agora.dev/agora/internal/planted"
)

// seeds is how many fixed seeds every test run simulates; make sim runs fresh ones.
const seeds = 200

func TestSeedsKeepEveryInvariant(t *testing.T) {
	launched, crashes, preempted := 0, 0, 0
	for seed := uint64(1); seed <= seeds; seed++ {
		result := Run(seed, Config{})
		launched, crashes = launched+result.Launched, crashes+result.Crashes
		preempted += result.Preempted
		if result.Err != nil {
			t.Errorf("seed %d: %v\nreplay: go run ./cmd/agora-sim -seed %d -v", seed, result.Err, seed)
		}
	}
	if launched < seeds || crashes < seeds || preempted < seeds/10 {
		t.Errorf("only %d tasks, %d crashes and %d preemptions in %d seeds: the simulation simulates nothing", launched, crashes, preempted, seeds)
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		first, second := Run(seed, Config{}), Run(seed, Config{})
		if first.Hash != second.Hash || first.Steps != second.Steps {
			t.Errorf("seed %d: %d steps with trace %016x, then %d with %016x", seed, first.Steps, first.Hash, second.Steps, second.Hash)
		}
	}
}

// failed are seeds that once found a violation, each with what was wrong then.
var failed = map[uint64]string{
	9:            "an offer came before the word that what it held had been reserved",
	255:          "operations of an agent that was marked gone stayed on its disk",
	113:          "a kill was forgotten by an agent that died after it had written TASK_KILLING",
	130:          "a framework whose call was lost kept its offers for ever",
	2900:         "an executor whose pod vanished with the machine never ended",
	413:          "operator events did not tell what had happened while an agent was away",
	149:          "an agent that was marked gone lost its ID while its tasks still ran",
	567:          "the simulation took a full cluster for one with room",
	743955815282: "a registration that arrived twice took executors off the books that ran since the first",
	271644352272: "the simulation forgot that of two ends of a volume one had come, when the other failed",
	511967218362: "an agent lent more while the allocator changed its resources, and the change was forgotten",
	511967222373: "the same, and what was reserved was offered twice",
	19412665245:  "the allocator had offered what an operation was refused to change",
	19412665887:  "the same, and the agent was back already",
	1611:         "an agent came back under another ID, and the first one stayed unreachable",
}

func TestSeedsThatOnceFailed(t *testing.T) {
	for seed, was := range failed {
		if result := Run(seed, Config{}); result.Err != nil {
			t.Errorf("seed %d (once: %s): %v", seed, was, result.Err)
		}
	}
}

// bugs are planted one at a time; the simulation must find each. The seed is one that found
// it, and is tried first.
var bugs = map[string]uint64{
	"master-keep-invalid-offers":  29,
	"master-forget-kill":          97,
	"master-forget-drain":         10,
	"master-forget-down":          127,
	"master-drained-by-books":     196,
	"master-launch-duplicate":     2,
	"master-stale-offer":          3,
	"master-drop-terminal":        18,
	"master-readmit-gone":         7,
	"master-revive-terminal":      9,
	"master-double-recover":       2,
	"master-silent-return":        3,
	"agent-lose-unacked-update":   18,
	"agent-send-before-persist":   1,
	"agent-forget-terminal":       45,
	"agent-forget-queued-kill":    478,
	"agent-forget-id-early":       57,
	"agent-keep-vanished-pod":     10,
	"agent-duplicate-launch":      5,
	"agent-late-kill-state":       468,
	"updates-any-acknowledgement": 779,
	"updates-skip-to-last":        5,
	"agent-lose-volumes":          3,
	"agent-operation-twice":       3,
	"agent-preempt-any":           5,
	"master-keep-lost-operation":  3,
	"allocator-any-role":          3,
}

// enough seeds to find any planted bug.
const enough = 2000

func TestPlantedBugsAreFound(t *testing.T) {
	for _, bug := range slices.Sorted(maps.Keys(bugs)) {
		t.Run(bug, func(t *testing.T) {
			defer planted.Plant(bug)()
			for n := range uint64(enough) {
				seed := (bugs[bug]+n-1)%enough + 1
				if result := Run(seed, Config{}); result.Err != nil {
					t.Logf("found by seed %d: %v", seed, result.Err)
					return
				}
			}
			t.Errorf("not found in %d seeds", enough)
		})
	}
}
