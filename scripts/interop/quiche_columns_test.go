package interop

func quicheColumns() []column { return nil }
