package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// file is a segment as the chain writes it.
type file interface {
	Write([]byte) (int, error)
	Sync() error
	Truncate(size int64) error
	Stat() (os.FileInfo, error)
	Close() error
}

// disk is what the chain asks of the file system; tests break it.
type disk struct {
	open    func(name string, flag int, mode os.FileMode) (file, error)
	syncDir func(dir string) error
}

func realDisk() disk {
	return disk{
		open: func(name string, flag int, mode os.FileMode) (file, error) {
			f, err := os.OpenFile(name, flag, mode)
			if err != nil {
				return nil, err // not a nil *os.File in a file
			}
			return f, nil
		},
		syncDir: syncDir,
	}
}

// syncDir makes the names in a folder durable: without it a new file can vanish in a
// crash although its content was synced (fsync(2)).
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDir makes the journal's folder, mode 0700, with durable names all the way up.
// It says whether strangers could look into one that was there before.
func makeDir(dir string) (open bool, err error) {
	info, err := os.Stat(dir)
	switch {
	case err == nil && !info.IsDir():
		return false, fmt.Errorf("%s is not a folder", dir)
	case err == nil:
		return info.Mode().Perm()&0o077 != 0, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if _, err := makeDir(parent); err != nil {
			return false, err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	return false, syncDir(parent)
}

// lockName is the file whose lock owns the folder. It stays there, empty.
const lockName = "lock"

// lock takes the folder for this process until the file is closed or the process ends,
// however it ends (flock(2)).
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another process writes the journal in %s", dir)
		}
		return nil, fmt.Errorf("lock the journal in %s: %w", dir, err)
	}
	return f, nil
}

// links counts the names of a file: 0 when it was removed while it was open.
func links(info os.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Nlink)
	}
	return 1
}
