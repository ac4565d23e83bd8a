//go:build unix

package main

import (
	"os"
	"syscall"
)

// statsSignal has all counters logged.
var statsSignal os.Signal = syscall.SIGUSR1
