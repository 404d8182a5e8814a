package seccomp

import (
	"bytes"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestCacheGivesWhatCompileGives(t *testing.T) {
	if len(numbers) == 0 {
		t.Skip("SKIP: no table of system calls for this architecture")
	}
	var c Cache
	number := uint(7)
	profiles := []*specs.LinuxSeccomp{{DefaultAction: specs.ActAllow}, {DefaultAction: specs.ActErrno}, {DefaultAction: specs.ActErrno, DefaultErrnoRet: &number}}
	for range kept {
		last := *profiles[len(profiles)-1]
		next := *last.DefaultErrnoRet + 1
		last.DefaultErrnoRet = &next
		profiles = append(profiles, &last)
	}
	for range 3 { // made, remembered, made again
		for i, p := range profiles {
			want, err := Compile(p)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Compile(p); err != nil || !bytes.Equal(got, want) {
				t.Errorf("profile %d: %v, another program than Compile's", i, err)
			}
		}
		if len(c.made) > kept {
			t.Errorf("%d kept, want at most %d", len(c.made), kept)
		}
	}
	if _, err := c.Compile(&specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_NOTHING"}); err == nil {
		t.Error("an unknown action was compiled")
	}
}

func TestDefaultProfilesDoNotShareWhatOneChanges(t *testing.T) {
	first, err := Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	first.Syscalls[0].Names = append(first.Syscalls[0].Names, "other")
	first.Syscalls = first.Syscalls[:1]
	second, err := Default([]string{"CAP_SYS_ADMIN"})
	if err != nil {
		t.Fatal(err)
	}
	third, err := Default(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(third.Syscalls) < 2 || len(second.Syscalls) == len(third.Syscalls) || third.Syscalls[0].Names[len(third.Syscalls[0].Names)-1] == "other" {
		t.Errorf("profiles of %d, %d and %d rules", len(first.Syscalls), len(second.Syscalls), len(third.Syscalls))
	}
}
