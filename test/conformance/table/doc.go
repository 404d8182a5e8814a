// Package table says of every call, event, field, endpoint, metric, flag and permission of Mesos's API how it stands here, and
// writes docs/design/compatibility-table.md.
//
// It owns the proof: a real master and agent are asked each call and endpoint; the type checker says which code reads each
// field and constant. It promises that a row is done, or is argued in testdata/exceptions.txt. It refuses exceptions that
// nothing needs.
package table
