package oversubscription

import (
	"fmt"
	"time"

	"agora.dev/agora/agent/core"
)

// PressureConfig are the parameters of Pressure.
type PressureConfig struct {
	// CPU is the part of ten seconds, in percent, that an executor may wait for a CPU while it gets
	// less than it was promised.
	CPU float64
	// Memory is the part of ten seconds, in percent, in which all that could run may wait for memory.
	Memory float64
	// Available is the part of the machine's memory, in percent, that must be available.
	Available float64
	// Settle is the time between two corrections: the kernel's means need it to show the first.
	Settle time.Duration
}

// Pressure stops executors on revocable resources one by one, the one that gives back most of what
// is short first, for as long as others suffer.
type Pressure struct {
	config PressureConfig
	rates  rates
	last   time.Time
}

// NewPressure makes a controller; config is checked before.
func NewPressure(config PressureConfig) *Pressure {
	return &Pressure{config: config, rates: rates{}}
}

// Measures implements Controller.
func (p *Pressure) Measures() bool { return true }

// Correct implements Controller.
func (p *Pressure) Correct(now time.Time, host Host, executors []Executor) []core.Preempt {
	p.rates.look(now, executors)
	why, score, urgent := p.short(host, executors)
	if why == "" || !urgent && !p.last.IsZero() && now.Sub(p.last) < p.config.Settle {
		return nil
	}
	var victim *Executor
	for i := range executors {
		e := &executors[i]
		if e.Revocable() && (victim == nil || score(e) > score(victim)) {
			victim = e
		}
	}
	if victim == nil {
		return nil
	}
	p.last = now
	return []core.Preempt{preempt(victim, why)}
}

// short says what the machine or an executor lacks, and how much of it a victim would give back.
// Memory comes first: who waits for a CPU is slow, who finds no memory is dead. It is urgent when
// waiting for the next figures could be too late.
func (p *Pressure) short(host Host, executors []Executor) (why string, score func(*Executor) float64, urgent bool) {
	available := 100.0
	if host.MemTotalMiB > 0 {
		available = 100 * host.MemAvailableMiB / host.MemTotalMiB
	}
	switch {
	case available < p.config.Available:
		return fmt.Sprintf("%.1f%% of the memory is available, less than %g%%", available, p.config.Available),
			memory, available < p.config.Available/2
	case host.MemoryStalls > p.config.Memory:
		return fmt.Sprintf("everything waited for memory %.1f%% of the time, more than %g%%", host.MemoryStalls, p.config.Memory), memory, false
	}
	told := false
	for i := range executors {
		e := &executors[i]
		promised := e.amount("cpus", false)
		if e.Waits < 0 || promised == 0 || e.Revocable() {
			continue
		}
		told = true
		// One that has what it was promised waits for what it was not.
		if cpu := p.rates[string(e.Container)]; e.Waits > p.config.CPU && cpu.known && cpu.cpus < 0.9*promised {
			return fmt.Sprintf("an executor waited for a CPU %.1f%% of the time, more than %g%%, and got %.2f of %g cpus",
				e.Waits, p.config.CPU, cpu.cpus, promised), p.cpus, false
		}
	}
	if !told && others(executors) && host.CPUWaits > p.config.CPU {
		return fmt.Sprintf("threads waited for a CPU %.1f%% of the time, more than %g%%", host.CPUWaits, p.config.CPU), p.cpus, false
	}
	return "", nil, false
}

// others says whether anybody runs who must not suffer.
func others(executors []Executor) bool {
	for i := range executors {
		if !executors[i].Revocable() {
			return true
		}
	}
	return false
}

func memory(e *Executor) float64 { return e.MemMiB }

func (p *Pressure) cpus(e *Executor) float64 { return p.rates[string(e.Container)].cpus }
