// Package pulls is what an agent tells of the images that it is pulling, as JSON, at
// /api/agora/pulls.
package pulls

import "time"

// Path is where an agent is asked.
const Path = "/api/agora/pulls"

// Pull is one image that is being pulled.
type Pull struct {
	// Image is its full name; Names are those by which it was asked for.
	Image string    `json:"image"`
	Names []string  `json:"names"`
	Since time.Time `json:"since"`
	// Layers are the lowest first; none until the manifest is there.
	Layers []Layer `json:"layers"`
}

// Layer is how far one layer has come.
type Layer struct {
	Digest  string `json:"digest"`
	Current int64  `json:"current"` // packed bytes
	Total   int64  `json:"total"`   // -1: unknown
	Done    bool   `json:"done"`    // unpacked, or already there
}

// Sum is how many layers are done, and the bytes of all; total is -1 when one is unknown.
func (p Pull) Sum() (done int, current, total int64) {
	for _, l := range p.Layers {
		if l.Done {
			done++
		}
		current += l.Current
		if l.Total < 0 || total < 0 {
			total = -1
		} else {
			total += l.Total
		}
	}
	return done, current, total
}
