// Package store keeps the orchestrator's state in a kv.Store.
//
// It owns the keys and their encoding: one key for each app, version, instance and deployment.
// It promises that the writes of one call are kept together as far as they fit one transaction,
// and in order beyond. It refuses to decide.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	marathon "agora.dev/agora/api/marathon/v2"
	"agora.dev/agora/kv"
	"agora.dev/agora/orchestrator/core"
	"agora.dev/agora/orchestrator/instance"
)

const prefix = "orchestrator/"

// Store is the store.
type Store struct{ kv kv.Store }

// New keeps the state in store, which may be fenced.
func New(store kv.Store) *Store { return &Store{kv: store} }

func key(w core.Write) string { return prefix + w.Kind + "/" + url.PathEscape(w.ID) }

// Load reads everything.
func (s *Store) Load(ctx context.Context) (*core.State, error) {
	snapshot, err := s.kv.Range(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("load orchestrator: %w", err)
	}
	state := core.NewState()
	for _, entry := range snapshot.Entries {
		if err := take(state, entry); err != nil {
			return nil, fmt.Errorf("load orchestrator: key %s: %w", entry.Key, err)
		}
	}
	return state, nil
}

func take(state *core.State, entry kv.Entry) error {
	kind, escaped, _ := strings.Cut(strings.TrimPrefix(entry.Key, prefix), "/")
	id, err := url.PathUnescape(escaped)
	if err != nil {
		return err
	}
	switch kind {
	case core.KindFramework:
		return json.Unmarshal(entry.Value, &state.FrameworkID)
	case core.KindApp:
		app := &marathon.App{}
		state.Apps[id] = app
		return json.Unmarshal(entry.Value, app)
	case core.KindVersion:
		app := &marathon.App{}
		name, version, _ := strings.Cut(id, "@")
		if state.Versions[name] == nil {
			state.Versions[name] = map[string]*marathon.App{}
		}
		state.Versions[name][version] = app
		return json.Unmarshal(entry.Value, app)
	case core.KindInstance:
		i := &instance.Instance{}
		state.Instances[id] = i
		return json.Unmarshal(entry.Value, i)
	case core.KindDeployment:
		d := &core.Deployment{}
		state.Deployments[id] = d
		return json.Unmarshal(entry.Value, d)
	}
	return errors.New("unknown kind")
}

// Apply writes; of several writes of one key the last counts.
func (s *Store) Apply(ctx context.Context, writes []core.Write) error {
	at := map[string]int{}
	var ops []kv.Op
	for _, w := range writes {
		op := kv.Delete(key(w))
		if w.Value != nil {
			value, err := json.Marshal(w.Value)
			if err != nil {
				return fmt.Errorf("write %s %s: %w", w.Kind, w.ID, err)
			}
			op = kv.Put(op.Key, value)
		}
		if n, again := at[op.Key]; again {
			ops[n] = op
			continue
		}
		at[op.Key] = len(ops)
		ops = append(ops, op)
	}
	for len(ops) > 0 {
		n := fit(ops)
		if _, err := s.kv.Txn(ctx, kv.Txn{Then: ops[:n]}); err != nil {
			return fmt.Errorf("write orchestrator: %w", err)
		}
		ops = ops[n:]
	}
	return nil
}

// fit is how many of the operations one transaction takes.
func fit(ops []kv.Op) int {
	size := 0
	for n, op := range ops {
		size += len(op.Key) + len(op.Value)
		if n > 0 && size > kv.MaxTxnBytes || n == kv.MaxOps {
			return n
		}
	}
	return len(ops)
}
