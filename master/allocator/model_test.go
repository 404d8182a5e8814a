package allocator_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
)

var operations = flag.Int("ops", 10_000, "commands that are compared with the plain rules")

// historyLength is how many commands one cluster lives through.
const historyLength = 250

// TestOffersFollowThePlainRules plays random histories to the allocator and to the rules that
// plainmodel_test.go writes down, and compares after each step. A million: make model.
func TestOffersFollowThePlainRules(t *testing.T) {
	for seed := range uint64(max(1, *operations/historyLength)) {
		if err := playPlain(seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func playPlain(seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 11))
	w := &plainWorld{plain: newPlain(), rng: rng, quotaOn: seed%2 == 1}
	config := allocator.Config{Seed: seed, Region: "near", RecoveryTimeout: 10 * time.Second}
	if seed%5 == 4 {
		w.drawn = true
		config.RoleSorter, config.FrameworkSorter = allocator.SortRandom, allocator.SortRandom
	}
	a, unasked := allocator.New(config), allocator.New(config)
	w.now = time.Unix(1_700_000_000, 0)
	round := map[core.AgentID]bool{} // agents whose shared volumes go round, one framework a cycle
	for done := 0; done < historyLength; {
		w.pass()
		var batch []core.AllocatorEvent
		for range 1 + rng.IntN(3) {
			if command := w.command(); command != nil {
				batch = append(batch, command)
			}
		}
		done += 1 + len(batch)
		a.CarryOut(w.now, batch)
		before := promises(a, w.plain)
		ready := a.Finish()
		if want, got := fmt.Sprint(unasked.Step(w.now, batch).Offers), fmt.Sprint(ready.Offers); want != got && !w.drawn { // who is drawn depends on the order of a list
			return fmt.Errorf("after %d commands, %s: asked for explanations it offers %s, and else %s", done, describe(batch), got, want)
		}
		if err := kept(before, ready.Offers, w.quotaOn, round); err != nil {
			return fmt.Errorf("after %d commands, %s: %w", done, describe(batch), err)
		}
		for _, o := range ready.Offers {
			round[o.Agent] = round[o.Agent] || lent(o)
		}
		for agent, who := range promises(a, w.plain) {
			if round[agent] {
				continue
			}
			return fmt.Errorf("after %d commands, %s: %s of %v is still to be offered, says the explanation", done, describe(batch), agent, who)
		}
		if err := a.CheckInvariants(); err != nil {
			return fmt.Errorf("after %d commands, %s: %w", done, describe(batch), err)
		}
		if err := w.check(ready.Offers); err != nil {
			return fmt.Errorf("after %d commands, %s: %w", done, describe(batch), err)
		}
		w.offers = append(w.offers, ready.Offers...)
	}
	return nil
}

func describe(batch []core.AllocatorEvent) (text string) {
	for _, command := range batch {
		text += fmt.Sprintf(" %T%+v", command, command)
	}
	return text
}
