package cli

import (
	"bytes"
	"strings"
	"testing"

	"agora.dev/agora/agent/images"
	"agora.dev/agora/api/agora/pulls"
)

func TestAPullIsOneLine(t *testing.T) {
	p := pulls.Pull{Image: "docker.io/library/web:1", Names: []string{"web:1"}}
	if got := pullText(p); got != "pulling web:1: asking the registry" {
		t.Error(got)
	}
	p.Layers = []pulls.Layer{{Digest: "sha256:aaaaaaaaaaaaaaaa", Current: 10, Total: 10, Done: true}, {Digest: "sha256:bbbbbbbbbbbbbbbb", Current: 1 << 20, Total: 4 << 20}}
	if got := pullText(p); got != "pulling web:1: 1 of 2 layers, 1 MiB of 4 MiB (bbbbbbbbbbbb 25%)" {
		t.Error(got)
	}
	p.Layers[0].Total = -1
	if got := pullText(p); strings.Contains(got, " of 4 MiB") {
		t.Error(got)
	}
}

func TestTheLinesOfAPullAreTakenBack(t *testing.T) {
	var out bytes.Buffer
	p := &pullProgress{out: &out, pull: pulls.Pull{Names: []string{"web:1"}}}
	for _, e := range []images.Event{{Layer: "sha256:aa", Total: 4}, {Layer: "sha256:bb", Total: 8}, {Layer: "sha256:aa", Current: 2, Total: 4}, {Layer: "sha256:aa", Current: 4, Total: 4, Done: true}} {
		p.event(e)
	}
	p.erase()
	p.show()
	if got := out.String(); !strings.HasSuffix(got, "aa  done\nbb  waiting\npulling: 1 of 2 layers, 4 B") {
		t.Errorf("got %q", got)
	}
	out.Reset()
	p.clear()
	if got := out.String(); got != "\r\x1b[K\x1b[A\x1b[K\x1b[A\x1b[K" {
		t.Errorf("got %q", got)
	}
}
