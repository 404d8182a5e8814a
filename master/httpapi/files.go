package httpapi

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path"
	"strconv"
	"syscall"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/master"
)

// logPath is the one file of a master that the files endpoints show.
const logPath = "/master/log"

// maxRead bounds one READ_FILE, in bytes: 16 pages, as in Mesos.
const maxRead = 16 * 4096

var (
	errNoFile    = errors.New("no such file")
	errDirectory = errors.New("Cannot read a directory.\n")
)

// located is the file behind a path of the API.
func (s *Server) located(name string) (string, error) {
	if s.cfg.LogFile == "" || path.Clean(name) != logPath {
		return "", errNoFile
	}
	return s.cfg.LogFile, nil
}

// read gives a part of a file and the size of the whole. A negative length is as much as one
// answer may hold.
func (s *Server) read(name string, offset, length int64) ([]byte, int64, error) {
	at, err := s.located(name)
	if err != nil {
		return nil, 0, err
	}
	file, err := os.Open(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, errNoFile
	}
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, 0, err
	case info.IsDir():
		return nil, 0, errDirectory
	case length < 0 || length > maxRead:
		length = maxRead
	}
	data := make([]byte, max(0, min(length, info.Size()-offset)))
	n, err := file.ReadAt(data, offset)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return data[:n], info.Size(), err
}

func fileError(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errNoFile):
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		text(w, http.StatusNotFound, "")
	case errors.Is(err, errDirectory):
		text(w, http.StatusBadRequest, errDirectory.Error())
	case errors.Is(err, fs.ErrPermission):
		text(w, http.StatusForbidden, "")
	default:
		text(w, http.StatusInternalServerError, "Internal error")
	}
}

// listFiles is LIST_FILES: a file has nothing in it.
func (s *Server) listFiles(call *master.Call_ListFiles) (*master.Response, error) {
	if _, err := s.located(call.GetPath()); err != nil {
		if path.Clean(call.GetPath()) != path.Dir(logPath) || s.cfg.LogFile == "" {
			return nil, err
		}
		info, err := s.logInfo()
		if err != nil {
			return nil, err
		}
		return &master.Response{ListFiles: &master.Response_ListFiles{FileInfos: []*mesos.FileInfo{info}}}, nil
	}
	return &master.Response{ListFiles: &master.Response_ListFiles{}}, nil
}

func (s *Server) readFile(call *master.Call_ReadFile) (*master.Response, error) {
	length := int64(-1)
	if call.Length != nil {
		length = int64(min(call.GetLength(), maxRead))
	}
	data, size, err := s.read(call.GetPath(), int64(min(call.GetOffset(), 1<<62)), length)
	if err != nil {
		return nil, err
	}
	return &master.Response{ReadFile: &master.Response_ReadFile{Size: ptr(uint64(size)), Data: data}}, nil
}

// logInfo describes the log as ls does.
func (s *Server) logInfo() (*mesos.FileInfo, error) {
	info, err := os.Stat(s.cfg.LogFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoFile
	}
	if err != nil {
		return nil, err
	}
	out := &mesos.FileInfo{Path: ptr(logPath), Size: ptr(uint64(info.Size())), Mtime: &mesos.TimeInfo{Nanoseconds: ptr(info.ModTime().UnixNano())},
		Mode: ptr(uint32(info.Mode().Perm()) | syscall.S_IFREG)}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		out.Nlink = ptr(int32(stat.Nlink))
		out.Uid, out.Gid = ptr(strconv.Itoa(int(stat.Uid))), ptr(strconv.Itoa(int(stat.Gid)))
		if owner, err := user.LookupId(out.GetUid()); err == nil {
			out.Uid = &owner.Username
		}
		if group, err := user.LookupGroupId(out.GetGid()); err == nil {
			out.Gid = &group.Name
		}
	}
	return out, nil
}

// pathParameter reads the parameter that all files endpoints need.
func pathParameter(w http.ResponseWriter, q url.Values) (string, bool) {
	name := q.Get("path")
	if name == "" {
		text(w, http.StatusBadRequest, "Expecting 'path=value' in query.\n")
	}
	return name, name != ""
}

func (s *Server) filesBrowse(w http.ResponseWriter, r *http.Request) {
	name, ok := pathParameter(w, r.URL.Query())
	if !ok {
		return
	}
	list, err := s.listFiles(&master.Call_ListFiles{Path: &name})
	if err != nil {
		fileError(w, err)
		return
	}
	view(w, r, func(out *writer) {
		out.open('[')
		for _, f := range list.GetListFiles().GetFileInfos() {
			out.element(func() {
				out.text("gid", f.GetGid())
				out.text("mode", fs.FileMode(f.GetMode()&0o777).String())
				out.float("mtime", float64(f.GetMtime().GetNanoseconds()/1e9))
				out.int("nlink", int64(f.GetNlink()))
				out.text("path", f.GetPath())
				out.int("size", int64(f.GetSize()))
				out.text("uid", f.GetUid())
			})
		}
		out.close(']')
	})
}

// filesRead is /files/read: without an offset it answers with the size.
func (s *Server) filesRead(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	name, ok := pathParameter(w, q)
	if !ok {
		return
	}
	offset, length := int64(-1), int64(-1)
	for key, into := range map[string]*int64{"offset": &offset, "length": &length} {
		given := q.Get(key)
		if given == "" {
			continue
		}
		value, err := strconv.ParseInt(given, 10, 64)
		switch {
		case err != nil:
			text(w, http.StatusBadRequest, "Failed to parse "+key+": Failed to convert '"+given+"' to number.\n")
			return
		case value < -1:
			text(w, http.StatusBadRequest, "Negative "+key+" provided: "+given+".\n")
			return
		}
		*into = value
	}
	sizeOnly := offset == -1
	if sizeOnly {
		offset, length = 0, 0
	}
	data, size, err := s.read(name, offset, length)
	if err != nil {
		fileError(w, err)
		return
	}
	if sizeOnly {
		offset = size
	}
	view(w, r, func(out *writer) {
		out.element(func() {
			out.text("data", string(data))
			out.int("offset", offset)
		})
	})
}

func (s *Server) filesDownload(w http.ResponseWriter, r *http.Request) {
	name, ok := pathParameter(w, r.URL.Query())
	if !ok {
		return
	}
	at, err := s.located(name)
	if err != nil {
		fileError(w, err)
		return
	}
	file, err := os.Open(at)
	if err != nil {
		fileError(w, errNoFile)
		return
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", "attachment; filename="+strconv.Quote(path.Base(at)))
	io.Copy(w, file)
}

// filesDebug is /files/debug: which path stands for which file.
func (s *Server) filesDebug(w http.ResponseWriter, r *http.Request) {
	view(w, r, func(out *writer) {
		out.element(func() {
			if s.cfg.LogFile != "" {
				out.text(logPath, s.cfg.LogFile)
			}
		})
	})
}
