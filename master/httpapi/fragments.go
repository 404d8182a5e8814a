package httpapi

import (
	"bytes"
	"runtime"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/core"
)

// fragments are what the last body of /state was made of, for the next one: the JSON of each block of tasks
// and agents. Blocks and records never change, so that one which is in the next body too is sent as it is.
// What is kept is bounded by its bytes.
type fragments struct {
	tasks  map[place]*fragment[core.Task]
	agents map[place]*fragment[core.Agent]
	// used are the resources in use by a framework, scalars added up.
	used map[*core.Framework][]*mesos.Resource
	left int // bytes that may still be kept
}

// maxFragments bounds the bytes that are kept.
const maxFragments = 256 << 20

// place says where a block was: it need not be the same block.
type place struct {
	owner core.FrameworkID // empty for agents
	list  list
	block int
}

// list is one of a framework's lists of tasks.
type list uint8

const (
	runningTasks list = iota
	unreachableTasks
	completedTasks
)

// fragment is a block's JSON: each of its records, with a comma before.
type fragment[T any] struct {
	records *[core.BlockSize]*T
	body    []byte
	ends    [core.BlockSize]int
}

func newFragments() *fragments {
	return &fragments{tasks: map[place]*fragment[core.Task]{}, agents: map[place]*fragment[core.Agent]{},
		used: map[*core.Framework][]*mesos.Resource{}, left: maxFragments}
}

func (f *fragment[T]) start(slot int) int {
	if slot == 0 {
		return 0
	}
	return f.ends[slot-1]
}

// blocks writes records in the order of a view. Known are the fragments of the last body, made those of this one.
func blocks[T any](w *writer, view core.View[T], at place, known, made map[place]*fragment[T], write func(*writer, *T)) {
	first, scratch := true, &writer{shapes: map[*mesos.Resource][]byte{}}
	for b := range view.Blocks() {
		at.block = b.Number
		f := made[at] // a history may begin and end in one block
		if f == nil {
			f = known[at]
		}
		if f == nil || f.records != b.Records {
			f = newFragment(scratch, f, b.Records, write)
			runtime.Gosched() // the core and its callers need not wait for the end of a time slice
		}
		if w.made.left -= len(f.body); w.made.left >= 0 {
			made[at] = f
		}
		part := f.body[f.start(b.From):f.ends[b.To-1]]
		if first && len(part) > 0 {
			part, first = part[1:], false
		}
		w.splice(part)
	}
}

// newFragment writes a block; what was in the old one is copied from there.
func newFragment[T any](out *writer, old *fragment[T], records *[core.BlockSize]*T, write func(*writer, *T)) *fragment[T] {
	f := &fragment[T]{records: records}
	out.buf = out.buf[:0]
	for slot, record := range records {
		switch {
		case record == nil:
		case old != nil && old.records[slot] == record:
			out.buf = append(out.buf, old.body[old.start(slot):old.ends[slot]]...)
		default:
			out.buf = append(out.buf, ',', '{')
			write(out, record)
			out.buf = append(out.buf, '}')
		}
		f.ends[slot] = len(out.buf)
	}
	f.body = bytes.Clone(out.buf)
	return f
}

// maxShapes bounds the different resources of tasks whose JSON is kept while a list is written.
const maxShapes = 1024

// shape writes the resources of a task. Tasks of one shape share them (core.shapes), and the JSON is made once.
func (w *writer) shape(resources []*mesos.Resource) {
	if w.shapes == nil || len(resources) == 0 {
		w.resources(resources)
		return
	}
	if known, ok := w.shapes[resources[0]]; ok {
		w.buf = append(w.buf, known...)
		return
	}
	from := len(w.buf)
	w.resources(resources)
	if len(w.shapes) >= maxShapes {
		clear(w.shapes)
	}
	w.shapes[resources[0]] = bytes.Clone(w.buf[from:])
}

// usedBy is what a framework uses, from the last body if the framework has not changed.
func (w *writer) usedBy(f *core.Framework) []*mesos.Resource {
	if w.known != nil {
		if used, ok := w.known.used[f]; ok {
			w.made.used[f] = used
			return used
		}
	}
	var used []*mesos.Resource
	sums := quantities{}
	for _, h := range holdings(f) {
		sums.add(h.resources)
		for _, r := range h.resources {
			if r.GetType() != mesos.Value_SCALAR {
				used = append(used, r)
			}
		}
	}
	for _, name := range sums.names() {
		value := sums.value(name)
		used = append(used, &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &value}})
	}
	if w.made != nil {
		w.made.used[f] = used
	}
	return used
}

// taskList writes one of a framework's lists of tasks.
func (w *writer) taskList(name string, tasks core.View[core.Task], at place) {
	w.array(name, func() {
		if w.known == nil {
			for task := range tasks.All() {
				w.element(func() { w.task(task) })
			}
			return
		}
		blocks(w, tasks, at, w.known.tasks, w.made.tasks, (*writer).task)
	})
}
