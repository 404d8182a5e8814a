// Package allocator decides who is offered what: weighted dominant resource fairness
// over the tree of roles, then over the frameworks of a role.
//
// It promises that what it offers is free, that freed resources are offered in the same
// step, and that the same commands in the same order give the same offers. It owns the
// filters that declined offers leave. It refuses to know tasks and offers themselves:
// whatever it hands out counts as allocated until the master recovers it.
package allocator
