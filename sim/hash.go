package sim

import "hash/fnv"

// sum is a short name for bytes in a trace.
func sum(data []byte) uint64 {
	h := fnv.New64a()
	h.Write(data)
	return h.Sum64()
}
