package interop

// aloneBehaviours are those that no other broker has tests for.
var aloneBehaviours = []behaviour{}
