// Command checks enforces the shape of the source tree: which package may import which, where C and unsafe may
// stand, and how long a function or a file may be. `make lint` runs it; it prints one line per finding and exits
// with status 1 when there is one.
//
//	walk the tree -> parse each Go file once -> checkImports, checkCalls, checkLength -> print
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	root := flag.String("root", ".", "folder of the root go.mod")
	flag.Parse()
	findings, err := checkTree(*root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "checks:", err)
		os.Exit(2)
	}
	for _, finding := range findings {
		fmt.Println(finding)
	}
	if len(findings) > 0 {
		os.Exit(1)
	}
}
