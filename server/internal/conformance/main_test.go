package conformance

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

var printTable = flag.Bool("table", false, "print the table of all statements")

// waiting is how many tests may run at a time: most of them wait.
const waiting = "64"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	flag.Set("test.parallel", waiting)
	defer os.RemoveAll(directory())
	status := m.Run()
	stopDialing()
	shared().stop()
	for _, s := range standards {
		if *printTable {
			fmt.Print(s.table())
		}
	}
	for _, s := range standards {
		if *printTable {
			fmt.Println(s.totals())
		}
	}
	return status
}
