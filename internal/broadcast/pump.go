package broadcast

import "time"

// run is the feed's goroutine. A reader belongs to it while it is ready, and to a goroutine of its
// own while it lags.
func (f *Feed[T]) run() {
	var batch []item[T]
	var buf []byte
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	for {
		select {
		case <-f.wake:
		case <-f.quit:
			f.stop()
			return
		}
		began := time.Now()
		batch = f.take(batch)
		buf = f.round(batch, buf)
		clear(batch)
		f.sweep()
		pause.Reset(min(max(time.Since(began), minPause), maxPause))
		select {
		case <-pause.C:
		case <-f.quit:
		}
	}
}

// stop lets go of the readers that have no goroutine; those that have one see their connection closed.
func (f *Feed[T]) stop() {
	for _, i := range f.take(nil) {
		if i.joins != nil {
			f.finish(i.joins)
		}
	}
	f.sweep()
}

func (f *Feed[T]) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// take swaps what waits for the emptied batch.
func (f *Feed[T]) take(batch []item[T]) []item[T] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.overflow {
		f.overflow = false
		f.cut = f.everybody()
		for _, r := range f.cut {
			r.end(ErrFull)
		}
	}
	batch, f.waiting = f.waiting, batch[:0]
	return batch
}

// round encodes a batch and writes it to the readers that are ready. It gives a buffer for the next one.
func (f *Feed[T]) round(batch []item[T], buf []byte) []byte {
	for _, i := range batch {
		switch {
		case i.joins != nil:
			buf = f.deliver(buf)
			f.lag(i.joins)
		case i.leaves != nil:
			buf = f.deliver(buf)
			f.part(i.leaves)
		default:
			longer, err := f.cfg.Encode(buf, i.message)
			if err != nil {
				f.failAll(err)
				continue
			}
			if buf = longer; len(buf) >= chunk {
				buf = f.deliver(buf)
			}
		}
	}
	return f.deliver(buf)
}

// deliver writes buf to the readers that are ready, and keeps it if some do not take it whole.
func (f *Feed[T]) deliver(buf []byte) []byte {
	if len(buf) == 0 {
		return buf
	}
	f.mu.Lock()
	number := f.end()
	f.chunks, f.at = append(f.chunks, buf), append(f.at, 0)
	f.bytes += len(buf)
	f.at[number-f.first]++ // it stays until all readers have been tried
	ready := f.ready       // may grow meanwhile; only this goroutine takes from it
	f.mu.Unlock()
	for _, r := range ready {
		n, err := r.try(buf)
		if err != nil {
			f.fail(r, err)
		}
		r.wrote = n
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	late := f.ready[len(ready):] // became ready meanwhile: they have buf
	kept := f.ready[:0]
	for _, r := range ready {
		if r.err != nil || r.wrote == len(buf) {
			kept = append(kept, r)
			continue
		}
		r.at, r.off = number, r.wrote
		f.chase(r)
	}
	kept = append(kept, late...)
	clear(f.ready[len(kept):])
	f.ready = kept
	f.at[number-f.first]--
	f.bound()
	f.trim()
	if len(f.chunks) == 0 && cap(buf) <= 2*chunk {
		return buf[:0]
	}
	return nil
}

// end is the number of the chunk that comes next. The caller holds mu.
func (f *Feed[T]) end() int { return f.first + len(f.chunks) }

// lag has a reader that joins begin: with first, and with the next chunk. Close sees none that is in a batch: it ends here.
func (f *Feed[T]) lag(r *Reader) {
	f.mu.Lock()
	if f.closed {
		r.end(ErrClosed)
		f.mu.Unlock()
		f.finish(r)
		return
	}
	defer f.mu.Unlock()
	r.at = f.end()
	f.chase(r)
}

// chase gives a reader a goroutine until it has everything. The caller holds mu.
func (f *Feed[T]) chase(r *Reader) {
	f.lagging[r] = struct{}{}
	f.at[r.at-f.first]++
	f.wg.Go(func() { f.catchUp(r) })
}

// part has a reader end once it has what came before.
func (f *Feed[T]) part(r *Reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, lags := f.lagging[r]; lags {
		r.leaving, r.until = true, f.end()
		return
	}
	for i, other := range f.ready {
		if other == r {
			f.ready = append(f.ready[:i], f.ready[i+1:]...)
			r.leaving, r.until, r.at, r.off = true, f.end(), f.end(), 0
			f.chase(r)
			return
		}
	}
}

// bound gives up those who are behind what may be kept; the newest chunk always is. The caller holds mu.
func (f *Feed[T]) bound() {
	over, last := f.bytes-f.cfg.MaxBytes, 0
	for last < len(f.chunks)-1 && over > 0 {
		over -= len(f.chunks[last])
		last++
	}
	if last == 0 {
		return
	}
	for r := range f.lagging {
		if r.at < f.first+last {
			f.release(r)
			r.end(ErrFull)
			f.cut = append(f.cut, r)
		}
	}
}

// release takes back what a reader holds; it may have been taken before. The caller holds mu.
func (f *Feed[T]) release(r *Reader) {
	if _, lags := f.lagging[r]; lags {
		delete(f.lagging, r)
		f.at[r.at-f.first]--
	}
}

// trim forgets the chunks that nobody needs. The caller holds mu.
func (f *Feed[T]) trim() {
	n := 0
	for n < len(f.chunks) && f.at[n] == 0 {
		f.bytes -= len(f.chunks[n])
		f.chunks[n] = nil
		n++
	}
	f.chunks, f.at, f.first = f.chunks[n:], f.at[n:], f.first+n
}

// sweep lets go of the ready readers that have ended, and closes the connections of those who were given up.
func (f *Feed[T]) sweep() {
	f.mu.Lock()
	kept, gone := f.ready[:0], []*Reader(nil)
	for _, r := range f.ready {
		if r.err == nil {
			kept = append(kept, r)
		} else {
			gone = append(gone, r)
		}
	}
	clear(f.ready[len(kept):])
	f.ready = kept
	f.mu.Unlock()
	for _, r := range gone {
		f.finish(r)
	}
	for _, r := range f.cut {
		r.conn.Close() // its goroutine does the rest
	}
	f.cut = nil
}
