package httpapi

import (
	"net"
	"testing"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/auth"
	"agora.dev/agora/internal/broadcast"
	"agora.dev/agora/master/core"
)

// TestStreamsOfOnePrincipalShareAGalleryThatEndsWithThem also has a publication come after the end, which must begin nothing.
func TestStreamsOfOnePrincipalShareAGalleryThatEndsWithThem(t *testing.T) {
	w := &watchers{max: 10, maxBytes: 1 << 20, galleries: map[audience]*gallery{}}
	come := func(claims map[string]string) *watcher {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { theirs.Close() })
		one := &watcher{viewer: &viewer{(&auth.ACLs{}).Viewer(&auth.Principal{Value: "web", Claims: claims}, auth.ViewTask)}, conn: &streamConn{Conn: ours}}
		one.audience = audience{media: codec.JSON, who: one.viewer.Key()}
		if !w.add(one, 15) {
			t.Fatal("closed")
		}
		return one
	}
	leave := func(one *watcher) { w.remove(one); w.wg.Done() }
	first, second, other := come(map[string]string{"a": "1", "b": "2"}), come(map[string]string{"b": "2", "a": "1"}), come(map[string]string{"a": "1"})
	w.published(&core.Snapshot{})
	if len(w.galleries) != 2 || first.gallery != second.gallery || first.gallery == other.gallery {
		t.Fatalf("%d galleries", len(w.galleries))
	}
	shared := first.gallery.feed
	leave(first)
	if w.galleries[second.audience] == nil {
		t.Error("a gallery ends before its last reader")
	}
	leave(second)
	if len(w.galleries) != 1 {
		t.Error("a gallery without readers stays")
	}
	if late := shared.Join(first.conn.Conn, nil); late.Err() != broadcast.ErrClosed {
		t.Error("its feed goes on")
	}
	leave(other)
	late := come(nil)
	go leave(late)
	w.close()
	w.waiting = []*watcher{late}
	w.published(&core.Snapshot{})
	if len(w.galleries) != 0 {
		t.Error("a gallery begins after the end")
	}
}
