package cni

import (
	"bytes"
	"testing"

	mesos "agora.dev/agora/api/mesos/v1"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types/create"
	"google.golang.org/protobuf/proto"
)

// FuzzConfiguration: whatever stands in a file, no type that is a path comes out of the check.
func FuzzConfiguration(f *testing.F) {
	for _, seed := range []string{`{"name":"n","type":"bridge","ipam":{"type":"host-local"}}`, `{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a"},{"type":"b","delegate":{"type":"c"}}]}`,
		`{"plugins":[7]}`, `{"type":"../x"}`, `null`, `[]`, `{"plugins":null,"type":"a"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := decodeConfig(bytes.NewReader(data))
		if err != nil || checkTypes(config) != nil {
			return
		}
		list, err := withMetadata(config, &mesos.NetworkInfo{Name: proto.String("n")})
		if err != nil {
			return
		}
		parsed, err := libcni.NetworkConfFromBytes(list)
		if err != nil {
			return
		}
		for _, plugin := range parsed.Plugins {
			if !validType.MatchString(plugin.Network.Type) {
				t.Errorf("%s: type %q", data, plugin.Network.Type)
			}
		}
	})
}

// FuzzResult: whatever a plugin answers, it becomes an attachment or an error.
func FuzzResult(f *testing.F) {
	for _, seed := range []string{`{"cniVersion":"1.0.0","ips":[{"address":"192.0.2.1/24"}],"dns":{"nameservers":["192.0.2.1"]}}`, `{"cniVersion":"0.2.0","ip4":{"ip":"192.0.2.1/24"}}`,
		`{"cniVersion":"0.3.1","ips":[{"version":"4","address":"x"}]}`, `{}`, `null`, `{"cniVersion":"9"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		result, err := create.CreateFromBytes(data)
		if err != nil {
			return
		}
		a := &attachment{Network: "n", Interface: "eth0"}
		if a.keep(result) != nil {
			return
		}
		r := &record{Container: "c", Hostname: "h", Attachments: []*attachment{a}}
		_ = hosts(r)
		_ = resolvText(a.DNS)
		for _, address := range a.info().GetIpAddresses() {
			if address.GetIpAddress() == "" {
				t.Errorf("%s: an empty address", data)
			}
		}
	})
}
