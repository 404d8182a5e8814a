package agent

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestImageGCConfigIsReadAsMesosDoes(t *testing.T) {
	text := `{"image_disk_headroom":0.25,"image_disk_watch_interval":{"nanoseconds":60000000000},"excluded_images":["busybox",{"type":"DOCKER","docker":{"name":"a/b:1"}}]}`
	file := filepath.Join(t.TempDir(), "gc.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	full := &ImageGC{Headroom: 0.25, Interval: time.Minute, Excluded: []string{"busybox", "a/b:1"}}
	for option, want := range map[string]*ImageGC{"": nil, "{}": {Headroom: 0.1, Interval: time.Hour}, text: full, file: full} {
		c := Config{ImageOptions: ImageOptions{ImageGCConfig: option}}
		if got, err := c.ImageGC(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", option, got, err)
		}
	}
	for _, bad := range []string{"{", `{"headroom":1}`, `{"image_disk_headroom":2}`, `{"image_disk_watch_interval":{"nanoseconds":0}}`, `{"excluded_images":[{}]}`, "/no/such"} {
		c := Config{ImageOptions: ImageOptions{ImageGCConfig: bad}}
		if got, err := c.ImageGC(); err == nil {
			t.Errorf("%s: got %+v", bad, got)
		}
	}
}
