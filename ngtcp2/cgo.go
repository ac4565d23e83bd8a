package ngtcp2

/*
#cgo pkg-config: libngtcp2_crypto_ossl libngtcp2 libssl libcrypto
#cgo CFLAGS: -std=gnu11 -O2 -Wall -Wextra -Werror=implicit-function-declaration
#include "shim_api.h"
*/
import "C"

func init() {
	if C.shim_init() != 0 {
		panic("ngtcp2: ngtcp2_crypto_ossl_init failed: OpenSSL cannot be used in this process")
	}
}
