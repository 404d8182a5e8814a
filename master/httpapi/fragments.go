package httpapi

import "agora.dev/agora/master/core"

// fragments are the tasks in the last body of /state. Records never change, so a task that is
// in the next body too is copied from there. Only one body is kept.
type fragments struct {
	body  []byte
	spans map[*core.Task]span
}

// span holds both ends of a fragment in the body.
type span struct{ from, to int }

// maxFragments bounds the tasks of a body that is kept; the key and span of each need 40 bytes.
const maxFragments = 1 << 20

// begin prepares a writer for a body much like this one.
func (f *fragments) begin(out *writer) {
	out.known = f
	out.made = make(map[*core.Task]span, len(f.spans))
	out.buf = make([]byte, 0, len(f.body)+len(f.body)/16+4096)
}

// fragmentsOf is what a written body leaves for the next one; nil when it is too large.
func fragmentsOf(out *writer) *fragments {
	if len(out.made) >= maxFragments {
		return new(fragments)
	}
	return &fragments{body: out.buf, spans: out.made}
}

// cachedTask writes a task, from the last body if it is there.
func (w *writer) cachedTask(task *core.Task) {
	if w.known == nil {
		w.element(func() { w.task(task) })
		return
	}
	w.comma()
	from := len(w.buf)
	if at, ok := w.known.spans[task]; ok {
		w.buf = append(w.buf, w.known.body[at.from:at.to]...)
	} else {
		w.buf = append(w.buf, '{')
		w.task(task)
		w.buf = append(w.buf, '}')
	}
	if len(w.made) < maxFragments {
		w.made[task] = span{from, len(w.buf)}
	}
}
