package broadcast

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

func config() Config[string] {
	return Config[string]{
		Encode:   func(dst []byte, s string) ([]byte, error) { return append(dst, s...), nil },
		MaxBytes: 1 << 20, MaxMessages: 1 << 16, Trailer: []byte("."),
	}
}

func hello() ([]byte, error) { return []byte("hello "), nil }

// connect gives both ends of a connection through the kernel, whose writes may be tried.
func connect(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if theirs, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if ours, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	return ours, theirs
}

// Readers come at different places, some are slow, and each gets everything that was put after it came.
func TestEachReaderGetsWhatWasPutAfterItJoined(t *testing.T) {
	f := New(config())
	defer f.Close()
	var wg sync.WaitGroup
	var readers []*Reader
	var want strings.Builder
	got := make([]bytes.Buffer, 20)
	from := make([]int, len(got))
	for i := range 20_000 {
		if i%1000 == 0 {
			n := i / 1000
			ours, theirs := connect(t)
			if n%4 == 3 {
				ours, theirs = net.Pipe()
			}
			from[n] = want.Len()
			readers = append(readers, f.Join(ours, hello))
			wg.Go(func() { io.CopyBuffer(&got[n], io.MultiReader(theirs), make([]byte, 1+n*100)) })
		}
		text := fmt.Sprintf("%d ", i)
		want.WriteString(text)
		f.Put(text)
	}
	for _, r := range readers {
		f.Leave(r)
	}
	wg.Wait()
	for n, r := range readers {
		<-r.Done()
		if text := "hello " + want.String()[from[n]:] + "."; got[n].String() != text {
			t.Errorf("reader %d: got %d bytes, want %d; it ended for: %v", n, got[n].Len(), len(text), r.Err())
		}
	}
}

func TestReadersThatDoNotReadAreCutOffAndOthersNeverNotice(t *testing.T) {
	cfg := config()
	cfg.MaxBytes = 1 << 20
	f := New(cfg)
	defer f.Close()
	var stalled []*Reader
	for range 5 {
		ours, theirs := connect(t)
		theirs.(*net.TCPConn).SetReadBuffer(4096)
		stalled = append(stalled, f.Join(ours, hello))
	}
	ours, theirs := connect(t)
	good := f.Join(ours, nil)
	message := strings.Repeat("x", 64<<10)
	sent := 0
	for _, r := range stalled {
		for open := true; open; {
			f.Put(message)
			sent++
			if _, err := io.ReadFull(theirs, make([]byte, len(message))); err != nil {
				t.Fatal(err)
			}
			select {
			case <-r.Done():
				open = false
			default:
			}
		}
		if !errors.Is(r.Err(), ErrFull) {
			t.Errorf("cut off for %v", r.Err())
		}
	}
	f.mu.Lock()
	kept := f.bytes
	f.mu.Unlock()
	if kept > cfg.MaxBytes {
		t.Errorf("%d bytes are kept after %d messages", kept, sent)
	}
	f.Cut(good)
	<-good.Done()
	if !errors.Is(good.Err(), ErrClosed) {
		t.Errorf("the good reader ended for %v", good.Err())
	}
}

func TestMessagesOfOneRoundShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(config())
		ours, theirs := net.Pipe()
		r := f.Join(ours, nil)
		synctest.Wait() // the round in which it joined is over
		for _, text := range []string{"1", "2", "3"} {
			f.Put(text)
		}
		buf := make([]byte, 10)
		if n, err := theirs.Read(buf); string(buf[:n]) != "123" {
			t.Errorf("got %q %v", buf[:n], err)
		}
		f.Close()
		<-r.Done()
	})
}

func TestMoreThanMayWaitCutsEverybodyOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.MaxMessages = 3
		f := New(cfg)
		ours, _ := net.Pipe()
		r := f.Join(ours, nil)
		for range 5 {
			f.Put("x")
		}
		<-r.Done()
		if !errors.Is(r.Err(), ErrFull) {
			t.Errorf("cut off for %v", r.Err())
		}
		f.Close()
	})
}

func TestAMessageThatCannotBeEncodedEndsTheReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, broken := config(), errors.New("broken")
		cfg.Encode = func([]byte, string) ([]byte, error) { return nil, broken }
		f := New(cfg)
		ours, _ := net.Pipe()
		r := f.Join(ours, nil)
		f.Put("x")
		<-r.Done()
		if !errors.Is(r.Err(), broken) {
			t.Errorf("ended for %v", r.Err())
		}
		f.Close()
		late := f.Join(ours, nil)
		<-late.Done()
	})
}

func TestCloseEndsReadersInEveryState(t *testing.T) {
	for range 50 {
		f := New(config())
		var readers []*Reader
		for range 4 {
			ours, _ := connect(t)
			readers = append(readers, f.Join(ours, hello))
			pipe, _ := net.Pipe()
			readers = append(readers, f.Join(pipe, hello)) // hangs in hello
			f.Put("x")
		}
		f.Leave(readers[0])
		f.Close()
		for _, r := range readers {
			<-r.Done()
		}
	}
}

// A reader whose turn to join comes while the feed closes is in a batch, where Close does not see it.
func TestAReaderThatJoinsWhileTheFeedClosesEnds(t *testing.T) {
	f := &Feed[string]{cfg: config(), wake: make(chan struct{}, 1), quit: make(chan struct{}), at: []int{0}, lagging: map[*Reader]struct{}{}}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	r := f.Join(ours, hello)
	batch := f.take(nil)
	f.Close()
	f.round(batch, nil)
	f.stop()
	select {
	case <-r.Done():
	default:
		t.Fatal("the reader goes on in a feed that is closed")
	}
	if r.Err() != ErrClosed {
		t.Errorf("it ended for %v", r.Err())
	}
}
