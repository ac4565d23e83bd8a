package broker

// maxPacketIDs is the number of packet identifiers, 1 to 65535.
const maxPacketIDs = 65535
