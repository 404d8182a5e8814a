// Package resources is the algebra of what machines have and tasks use: fixed-point scalars,
// ranges and sets, with their reservations, volumes, revocability, sharing and allocation.
//
// It owns the canonical form of such values: Resources is immutable, sorted, and merged, so
// equal values are equal item by item. It promises exact arithmetic at three decimals, no
// negative or unrepresentable amount, and the texts of Mesos for what it refuses. It knows
// nothing about agents, frameworks or fairness.
package resources
