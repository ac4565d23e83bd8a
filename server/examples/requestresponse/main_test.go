package main

// The whole program.
func Example() {
	main()
	// Output: request 7: HELLO
}
