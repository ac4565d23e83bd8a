//go:build !unix

package client

import "os"

// lock does nothing: here nothing but the program keeps two clients from one file.
func lock(*os.File) error { return nil }

// syncDir does nothing: the system keeps names by itself.
func syncDir(string) error { return nil }
