package outbox

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
)

func config() Config[string] {
	return Config[string]{
		Encode:   func(dst []byte, s string) ([]byte, error) { return append(dst, s...), nil },
		Size:     func(s string) int { return len(s) },
		MaxBytes: 10, MaxMessages: 100,
	}
}

func TestReceiverThatDoesNotReadIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		o := New(ours, config())
		var err error
		for n := 0; err == nil && n < 100; n++ {
			err = o.Put("12345")
			synctest.Wait()
		}
		if !errors.Is(err, ErrFull) {
			t.Fatalf("got %v, want ErrFull", err)
		}
		<-o.Done()
		if !errors.Is(o.Put("x"), ErrClosed) {
			t.Error("a cut queue takes messages")
		}
	})
}

func TestOneMessageAboveTheBoundStillFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		o := New(ours, config())
		if err := o.Put("a message longer than ten bytes"); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		n, _ := theirs.Read(buf)
		if string(buf[:n]) != "a message longer than ten bytes" {
			t.Fatalf("got %q", buf[:n])
		}
		o.Cut()
		<-o.Done()
	})
}

func TestMessagesThatWaitedShareOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		o := New(ours, config())
		o.Put("0")
		synctest.Wait() // blocked in the write of 0
		o.Put("1")
		o.Put("2")
		o.Close()
		buf := make([]byte, 10)
		for _, want := range []string{"0", "12"} {
			if n, err := theirs.Read(buf); string(buf[:n]) != want {
				t.Fatalf("got %q %v, want %q", buf[:n], err, want)
			}
		}
		<-o.Done()
	})
}
