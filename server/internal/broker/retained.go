package broker

// NewMemoryRetained makes a RetainedStore in memory.
func NewMemoryRetained() RetainedStore { return nil }
