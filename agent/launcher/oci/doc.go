// Package oci is the launcher that calls an installed OCI runtime, runc or crun.
//
// It promises the contract of package launcher with containers made by that runtime: a
// bundle and a record on disk for each, exit statuses through the subreaper that this
// process becomes, and nothing left behind: no mount, no cgroup, no process. It refuses
// to interpret a specification: what the runtime rejects is an error of Start.
package oci
