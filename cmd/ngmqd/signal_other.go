//go:build !unix

package main

import "os"

// statsSignal: this system has no such signal.
var statsSignal os.Signal
