package cni

import (
	"os"
	"path/filepath"
	"testing"
)

func TestServersOfNamesThatAContainerCannotReachAreLeftOut(t *testing.T) {
	dir := t.TempDir()
	own, behind := filepath.Join(dir, "own"), filepath.Join(dir, "behind")
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(behind, "nameserver fe80::1%eth0\nnameserver 192.0.2.53\n")
	for text, want := range map[string]string{
		"search a.example\nnameserver 192.0.2.1\n":                          "search a.example\nnameserver 192.0.2.1\n",
		"nameserver fe80::1%eth0\nnameserver 2001:db8::53\noptions ndots:2": "nameserver 2001:db8::53\noptions ndots:2",
		"nameserver 127.0.0.53\n":                                           "nameserver 192.0.2.53\n",
		"nameserver ::1\nsearch b.example\n":                                "nameserver 192.0.2.53\n",
		"nameserver 127.0.0.53\nnameserver 192.0.2.2\n":                     "nameserver 127.0.0.53\nnameserver 192.0.2.2\n",
	} {
		write(own, text)
		if got, err := hostResolv(own, behind); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
}
