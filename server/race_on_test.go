//go:build race

package server_test

// slowdown is by how much the race detector slows down what only computes.
const slowdown = 10
