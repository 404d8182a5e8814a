package httpapi

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strconv"

	"agora.dev/agora/agent/files"
	mesos "agora.dev/agora/api/mesos/v1"
	agentapi "agora.dev/agora/api/mesos/v1/agent"
)

func filesError(err error) error {
	switch {
	case errors.Is(err, files.ErrNotFound):
		return refuse(http.StatusNotFound, "")
	case errors.Is(err, files.ErrDirectory):
		return refuse(http.StatusBadRequest, "Cannot read a directory.\n")
	case errors.Is(err, fs.ErrPermission):
		return refuse(http.StatusForbidden, "%s", err)
	}
	return err
}

func (s *Server) listFiles(r *http.Request, name string) (*agentapi.Response, error) {
	tree, err := s.treeFor(r, "LIST_FILES", name)
	if err != nil {
		return nil, err
	}
	list, err := tree.Browse(name)
	if err != nil {
		return nil, filesError(err)
	}
	out := response(agentapi.Response_LIST_FILES)
	out.ListFiles = &agentapi.Response_ListFiles{FileInfos: list}
	return out, nil
}

func (s *Server) readFile(r *http.Request, call *agentapi.Call_ReadFile) (*agentapi.Response, error) {
	tree, err := s.treeFor(r, "READ_FILE", call.GetPath())
	if err != nil {
		return nil, err
	}
	length := int64(-1)
	if call.Length != nil {
		length = int64(min(call.GetLength(), 1<<62))
	}
	data, size, err := tree.Read(call.GetPath(), int64(min(call.GetOffset(), 1<<62)), length)
	if err != nil {
		return nil, filesError(err)
	}
	total := uint64(size)
	out := response(agentapi.Response_READ_FILE)
	out.ReadFile = &agentapi.Response_ReadFile{Size: &total, Data: append([]byte{}, data...)}
	return out, nil
}

// pathOf is the path that a request asks for, and the tree to find it in.
func (s *Server) pathOf(r *http.Request) (files.Tree, string, error) {
	name := r.URL.Query().Get("path")
	if name == "" {
		return nil, "", refuse(http.StatusBadRequest, "Expecting 'path=value' in query.\n")
	}
	tree, err := s.treeFor(r, "file", name)
	return tree, name, err
}

func (s *Server) filesBrowse(w http.ResponseWriter, r *http.Request) {
	tree, name, err := s.pathOf(r)
	if err != nil {
		answer(w, err)
		return
	}
	list, err := tree.Browse(name)
	if err != nil {
		answer(w, filesError(err))
		return
	}
	out := []map[string]any{}
	for _, f := range list {
		out = append(out, map[string]any{
			"gid": f.GetGid(), "uid": f.GetUid(), "mode": modeText(f), "mtime": float64(f.GetMtime().GetNanoseconds() / 1e9),
			"nlink": f.GetNlink(), "path": f.GetPath(), "size": f.GetSize(),
		})
	}
	writeJSON(w, r, out)
}

// modeText is the mode as ls prints it.
func modeText(f *mesos.FileInfo) string {
	const letters = "rwxrwxrwx"
	kinds := map[uint32]byte{0o040000: 'd', 0o120000: 'l', 0o010000: 'p', 0o140000: 's', 0o020000: 'c', 0o060000: 'b'}
	out := []byte("-" + letters)
	if kind, ok := kinds[f.GetMode()&0o170000]; ok {
		out[0] = kind
	}
	for i := range letters {
		if f.GetMode()>>(8-i)&1 == 0 {
			out[i+1] = '-'
		}
	}
	return string(out)
}

func (s *Server) filesRead(w http.ResponseWriter, r *http.Request) {
	tree, name, err := s.pathOf(r)
	if err != nil {
		answer(w, err)
		return
	}
	offset, length := int64(-1), int64(-1)
	for key, into := range map[string]*int64{"offset": &offset, "length": &length} {
		if text := r.URL.Query().Get(key); text != "" {
			value, err := strconv.ParseInt(text, 10, 64)
			if err != nil || value < -1 {
				answer(w, refuse(http.StatusBadRequest, "Failed to parse %s: %q is not a number.\n", key, text))
				return
			}
			*into = value
		}
	}
	if offset == -1 { // asks for the size
		f, size, err := tree.Open(name)
		if err != nil {
			answer(w, filesError(err))
			return
		}
		f.Close()
		writeJSON(w, r, map[string]any{"data": "", "offset": size})
		return
	}
	data, offset, _, err := tree.ReadFrom(name, offset, length, true)
	if err != nil {
		answer(w, filesError(err))
		return
	}
	writeJSON(w, r, map[string]any{"data": string(data), "offset": offset})
}

func (s *Server) filesDownload(w http.ResponseWriter, r *http.Request) {
	tree, name, err := s.pathOf(r)
	if err != nil {
		answer(w, err)
		return
	}
	f, _, err := tree.Open(name)
	if err != nil {
		answer(w, filesError(err))
		return
	}
	defer f.Close()
	download(w, r, f, path.Base(name))
}

func download(w http.ResponseWriter, r *http.Request, f *os.File, name string) {
	info, err := f.Stat()
	if err != nil {
		answer(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", "attachment; filename="+strconv.Quote(name))
	http.ServeContent(w, r, "", info.ModTime(), f)
}
