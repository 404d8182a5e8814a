package launcher

import (
	"errors"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// UserNamespace is that of a container by its specification.
type UserNamespace struct {
	// Path is that of a namespace to join; empty when one is to be made.
	Path string
	// Mappings is one range of ids, the same for users and groups.
	Mappings []specs.LinuxIDMapping
}

// First is the machine's id of the container's root.
func (u UserNamespace) First() uint32 { return u.Mappings[0].HostID }

// UserNamespaceOf reads a specification; nil for a container in the machine's.
func UserNamespaceOf(spec *specs.Spec) (*UserNamespace, error) {
	for _, n := range spec.Linux.Namespaces {
		if n.Type != specs.UserNamespace {
			continue
		}
		users, groups := spec.Linux.UIDMappings, spec.Linux.GIDMappings
		if len(users) != 1 || users[0].ContainerID != 0 || !slices.Equal(users, groups) {
			return nil, errors.New("user namespace: the ids of users and groups must be one range from 0, the same for both")
		}
		return &UserNamespace{Path: n.Path, Mappings: users}, nil
	}
	return nil, nil
}
