// Command agora-sim simulates clusters from fresh seeds, or replays one.
//
//	agora-sim -seeds 10000         fresh seeds, on every core
//	agora-sim -seed 42 -v          one seed, with everything that happened
//	agora-sim -seeds 1000 -bug X   with a planted bug, to see that it is found
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"agora.dev/agora/internal/planted"
	"agora.dev/agora/sim"
)

func main() {
	seeds := flag.Uint64("seeds", 1000, "how many seeds")
	first := flag.Uint64("first", uint64(time.Now().UnixNano())&0xffffffffff, "the first seed; the others follow it")
	one := flag.Uint64("seed", 0, "replay this seed only")
	verbose := flag.Bool("v", false, "with -seed: print everything that happens")
	bug := flag.String("bug", "", "plant this bug")
	flag.Parse()
	debug.SetGCPercent(400) // worlds are small and short-lived
	if *bug != "" {
		defer planted.Plant(*bug)()
	}
	if *one != 0 {
		os.Exit(replay(*one, *verbose, *bug))
	}
	os.Exit(run(*first, *seeds, *bug))
}

func replay(seed uint64, verbose bool, bug string) int {
	config := sim.Config{}
	if verbose {
		config.Trace = func(line string) { fmt.Println(line) }
	}
	result := sim.Run(seed, config)
	again := sim.Run(seed, sim.Config{})
	fmt.Printf("seed %d: %d steps, %v simulated, %d tasks, %d crashes, trace %016x\n",
		seed, result.Steps, result.Simulated.Round(time.Second), result.Launched, result.Crashes, result.Hash)
	if result.Hash != again.Hash {
		fmt.Printf("seed %d: the second run has another trace: %016x\n", seed, again.Hash)
		return 1
	}
	if result.Err != nil {
		fmt.Printf("seed %d: %v\n", seed, result.Err)
		return 1
	}
	return 0
}

// run simulates seeds on every core and prints what it came to.
func run(first, count uint64, bug string) int {
	var (
		next      atomic.Uint64
		mutex     sync.Mutex
		group     sync.WaitGroup
		total     sim.Result
		failed    int
		simulated time.Duration
		start     = time.Now()
	)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= count {
					return
				}
				result := sim.Run(first+n, sim.Config{})
				if result.Err == nil && n%16 == 0 && sim.Run(first+n, sim.Config{}).Hash != result.Hash {
					result.Err = fmt.Errorf("the second run has another trace")
				}
				mutex.Lock()
				total.Steps += result.Steps
				total.Launched += result.Launched
				total.Crashes += result.Crashes
				simulated += result.Simulated
				if result.Err != nil {
					failed++
					report(result, bug)
				}
				mutex.Unlock()
			}
		})
	}
	group.Wait()
	took := time.Since(start)
	fmt.Printf("%d seeds (%d to %d), %d violations: %v simulated in %v, %.0f times real time; %d steps, %d tasks, %d crashes\n",
		count, first, first+count-1, failed, simulated.Round(time.Minute), took.Round(time.Millisecond),
		simulated.Seconds()/took.Seconds(), total.Steps, total.Launched, total.Crashes)
	if failed > 0 {
		return 1
	}
	return 0
}

// report prints a violation with the command that shows it again.
func report(result sim.Result, bug string) {
	with := ""
	if bug != "" {
		with = " -bug " + bug
	}
	fmt.Printf("seed %d: %v\n  replay: go run ./cmd/agora-sim -seed %d -v%s\n", result.Seed, result.Err, result.Seed, with)
}
