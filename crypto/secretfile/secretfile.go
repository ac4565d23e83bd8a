// Package secretfile writes and checks files that hold secrets. It is pure Go.
package secretfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace puts data in the place of the file at path, or makes it: in one step, so that after
// a crash there is the old content or the new one. It has mode 0600, whatever the old one had,
// and is synced.
func Replace(path string, data []byte) error {
	return write(path, data, os.Rename)
}

// Make is Replace for a file that there is not yet. One that somebody else has made meanwhile
// stays; the error is fs.ErrExist then.
func Make(path string, data []byte) error {
	return write(path, data, os.Link)
}

// write has place give a complete file the name path.
func write(path string, data []byte, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // a new file, mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return place(f.Name(), path)
}

// Check refuses what is not a regular file, and what group or others can open.
func Check(info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	case info.Mode().Perm()&0o077 != 0:
		return errors.New("open to group or others: it holds secrets (chmod 600)")
	}
	return nil
}
