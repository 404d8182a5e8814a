package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// watchInterval is how often a watched table is asked for.
const watchInterval = time.Second

// watch prints a table, and again whenever something in it has changed, until ctx ends. On a
// terminal it replaces the one before, ages included.
func (a *App) watch(ctx context.Context, look func(context.Context) (table, error)) error {
	terminal := isTerminal(a.Out)
	var shown []byte
	for {
		t, err := look(ctx)
		if err != nil {
			return err
		}
		// The value has no ages in it: those change without anything happening.
		facts, err := json.Marshal(t.Value)
		if err != nil {
			return err
		}
		if terminal || !bytes.Equal(facts, shown) {
			switch {
			case terminal:
				fmt.Fprint(a.Out, "\x1b[H\x1b[2J")
			case shown != nil && (a.output == "table" || a.output == "wide"):
				fmt.Fprintln(a.Out)
			}
			shown = facts
			if err := a.print(t); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchInterval):
		}
	}
}
