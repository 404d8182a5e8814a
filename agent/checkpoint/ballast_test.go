package checkpoint

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestBallastIsGivenUpForAWriteOnAFullDisk(t *testing.T) {
	b := NewBallast(Paths{Work: t.TempDir()})
	if !b.held {
		t.Skip("SKIP: no room for the ballast here")
	}
	tries := 0
	full := fmt.Errorf("write: %w", syscall.ENOSPC)
	err := b.Retry(func() error {
		tries++
		if _, err := os.Stat(b.path); err == nil {
			return full
		}
		return nil
	})
	if err != nil || tries != 2 {
		t.Errorf("%d tries, %v; want the second to succeed", tries, err)
	}
	if err := b.Retry(func() error { return full }); err != full {
		t.Errorf("without ballast: %v, want the disk's own error", err)
	}
	b.Take()
	if !b.held {
		t.Error("the ballast is not taken again although there is room")
	}
}
