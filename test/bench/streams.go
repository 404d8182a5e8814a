package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	mesos "agora.dev/agora/api/mesos/v1"
	masterpb "agora.dev/agora/api/mesos/v1/master"
)

const (
	streamReaders = 1000
	streamEvents  = 2000
	stalledOnes   = 50
	stalledRounds = 40 // more events than a reader's queue may hold
	streamTasks   = 200
)

// streams measures P10: operator event streams, with readers that read and readers that do not.
func (s *suite) streams() error {
	if err := s.manyReaders(); err != nil {
		return err
	}
	return s.stalledReaders()
}

func (s *suite) manyReaders() error {
	c, w, err := startWatchers(streamReaders)
	if err != nil {
		return err
	}
	defer c.close()
	defer w.close()
	elapsed, err := w.time(c, streamEvents)
	if err != nil {
		return err
	}
	s.report(figure{Name: "P10/1000-readers", Value: streamReaders * streamEvents / elapsed.Seconds(), Unit: "deliveries/s", Must: 200_000, Goal: 1_000_000,
		HigherIsBetter: true, Note: fmt.Sprintf("%d events (TASK_UPDATED, protobuf) to %d readers in %.2f s, %.0f events/s; readers in another process on the same 2 cores; no floor",
			streamEvents, streamReaders, elapsed.Seconds(), streamEvents/elapsed.Seconds())})
	return nil
}

// stalledReaders has 50 readers that never read beside ten that do, until the 50 are cut off.
func (s *suite) stalledReaders() error {
	c, w, err := startWatchers(10)
	if err != nil {
		return err
	}
	defer c.close()
	defer w.close()
	before, err := c.vitals(true)
	if err != nil {
		return err
	}
	for range stalledOnes {
		if err := w.add(false); err != nil {
			return err
		}
	}
	most := 0.0
	var slow time.Duration
	for range stalledRounds {
		elapsed, err := w.time(c, streamEvents)
		if err != nil {
			return err
		}
		slow = max(slow, elapsed)
		v, err := c.vitals(true)
		if err != nil {
			return err
		}
		most = max(most, (v.ResidentKiB-before.ResidentKiB)/1024)
	}
	s.report(figure{Name: "P10/50-stalled", Value: most, Unit: "MiB", Must: 256, Goal: 64,
		Note: fmt.Sprintf("most growth of the master's private memory over %d events; the slowest %d of them reached the ten others in %.2f s; floor 0",
			stalledRounds*streamEvents, streamEvents, slow.Seconds())})
	return nil
}

func startWatchers(readers int) (*populated, *watchers, error) {
	c, err := populate(population{Agents: 10, Tasks: streamTasks / 10, Frameworks: 1})
	if err != nil {
		return nil, nil, err
	}
	w := &watchers{address: c.address, seen: make(chan struct{}, 1)}
	for range readers {
		if err := w.add(true); err != nil {
			w.close()
			c.close()
			return nil, nil, err
		}
	}
	return c, w, nil
}

// watchers are readers of the operator event stream.
type watchers struct {
	address string
	conns   []net.Conn
	wg      sync.WaitGroup
	reading int
	left    atomic.Int64 // deliveries that are still to come
	seen    chan struct{}
	err     atomic.Pointer[error]
}

func (w *watchers) add(reads bool) error {
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		return err
	}
	w.conns = append(w.conns, conn)
	body, err := proto.Marshal(&masterpb.Call{Type: masterpb.Call_SUBSCRIBE.Enum()})
	if err != nil {
		return err
	}
	head := "POST /api/v1 HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-protobuf\r\nAccept: application/x-protobuf\r\nContent-Length: "
	if _, err := io.WriteString(conn, head+strconv.Itoa(len(body))+"\r\n\r\n"+string(body)); err != nil {
		return err
	}
	if !reads {
		return conn.(*net.TCPConn).SetReadBuffer(4096)
	}
	in := bufio.NewReaderSize(conn, 64<<10)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("subscribe: %s", response.Status)
	}
	records := bufio.NewReaderSize(httputil.NewChunkedReader(in), 64<<10)
	if err := skipRecord(records); err != nil { // SUBSCRIBED
		return err
	}
	w.reading++
	w.wg.Go(func() { w.read(records) })
	return nil
}

// small is below every TASK_UPDATED and above every HEARTBEAT, in bytes.
const small = 20

func (w *watchers) read(records *bufio.Reader) {
	for {
		size, err := recordSize(records)
		if err == nil {
			_, err = records.Discard(size)
		}
		if err != nil {
			w.err.CompareAndSwap(nil, &err)
			return
		}
		if size > small && w.left.Add(-1) == 0 {
			w.seen <- struct{}{}
		}
	}
}

func recordSize(records *bufio.Reader) (int, error) {
	line, err := records.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(line[:len(line)-1]))
}

func skipRecord(records *bufio.Reader) error {
	size, err := recordSize(records)
	if err == nil {
		_, err = records.Discard(size)
	}
	return err
}

// time has so many tasks change, and waits until every reader has been told of each change.
func (w *watchers) time(c *populated, events int) (time.Duration, error) {
	w.left.Store(int64(events) * int64(w.reading))
	began := time.Now()
	for i := range events {
		// Starting and running in turn: a state of its own for every event.
		state := mesos.TaskState_TASK_STARTING
		if i/streamTasks%2 == 1 {
			state = mesos.TaskState_TASK_RUNNING
		}
		if err := c.fleet.Update(i%10, i/10%(streamTasks/10), state); err != nil {
			return 0, err
		}
	}
	select {
	case <-w.seen:
		return time.Since(began), nil
	case <-time.After(2 * time.Minute):
		err := errors.New("deliveries missing")
		if cause := w.err.Load(); cause != nil {
			err = *cause
		}
		return 0, fmt.Errorf("%d of %d deliveries stay out: %w", w.left.Load(), events*w.reading, err)
	}
}

func (w *watchers) close() {
	for _, conn := range slices.Backward(w.conns) {
		conn.Close()
	}
	w.wg.Wait()
}
