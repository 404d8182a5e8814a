package master

import (
	"context"
	"fmt"
	"sync"
	"time"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/election"
	"agora.dev/agora/kv"
	"agora.dev/agora/master/core"
	"agora.dev/agora/master/httpapi"
	"agora.dev/agora/master/registry"
)

// lead waits for the leadership, opens the term, and returns when it is over. The end of
// ctx is no error.
func (m *Master) lead(ctx context.Context) error {
	if m.deps.Contender == nil {
		if err := m.open(ctx, m.deps.Store); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
	watching, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	if m.deps.Detector != nil {
		wg.Go(func() { m.detect(watching) })
	}
	info, err := codec.Marshal(codec.JSON, m.info)
	if err != nil {
		return fmt.Errorf("encode master info: %w", err)
	}
	leadership, err := m.deps.Contender.Campaign(ctx, election.Leader{ID: m.info.GetId(), Address: m.address(), Info: info})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("contend for leadership: %w", err)
	}
	stop()
	wg.Wait()
	defer func() {
		resign, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		leadership.Resign(resign)
	}()
	store := m.deps.Store
	if fence, ok := leadership.Fence(); ok {
		store = kv.Fenced(store, fence)
	}
	if err := m.open(ctx, store); err != nil {
		return err
	}
	select {
	case <-leadership.Lost():
		return ErrLostLeadership
	case <-ctx.Done():
		return nil
	}
}

func (m *Master) address() string {
	a := m.info.GetAddress()
	return fmt.Sprintf("%s:%d", a.GetHostname(), a.GetPort())
}

// open reads the registry and tells the core that it leads.
func (m *Master) open(ctx context.Context, store kv.Store) error {
	limited, cancel := context.WithTimeout(ctx, max(m.cfg.RegistryFetchTimeout, time.Second))
	defer cancel()
	info, err := codec.Marshal(codec.JSON, m.info)
	if err != nil {
		return fmt.Errorf("encode master info: %w", err)
	}
	pairs, err := m.registrar.use(limited, store, info)
	if err != nil {
		return err
	}
	contents, err := registry.Decode(pairs)
	if err != nil {
		return err
	}
	m.leader.Store(&httpapi.Leader{Known: true, Self: true, Address: m.address()})
	return m.core.post(ctx, core.Elected{Contents: contents})
}

// detect follows who leads while this master does not.
func (m *Master) detect(ctx context.Context) {
	var known *election.Leader
	for {
		leader, err := m.deps.Detector.Detect(ctx, known)
		if err != nil {
			return
		}
		known = leader
		if leader == nil {
			m.leader.Store(&httpapi.Leader{})
			continue
		}
		m.leader.Store(&httpapi.Leader{Known: true, Self: leader.ID == m.info.GetId(), Address: leader.Address})
	}
}
