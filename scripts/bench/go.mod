module github.com/ngmq/ngmq/scripts/bench

go 1.26.0

require (
	github.com/ngmq/ngmq v0.0.0
	golang.org/x/sys v0.49.0
)

replace github.com/ngmq/ngmq => ../..
