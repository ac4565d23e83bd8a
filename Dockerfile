# ngmq in an image with nothing but its two programs, the C library, CA certificates and licences: no shell, no root.
#
#   docker build -t ngmq .
#   docker run -p 14567:14567/udp -p 1883:1883 -p 8883:8883 -v ngmq:/data -e NGMQ_ALLOW_ANONYMOUS=1 ngmq
#
# Ports of a container are there to be published, so the server listens on all addresses: MQTT over QUIC, TCP and TLS.
# It does not serve everybody unless told to: without NGMQ_ALLOW_ANONYMOUS=1 it ends with status 1 and says why.
# Every flag of ngmqd is a variable NGMQ_* too. /data keeps the development CA: clients trust /data/dev-ca.crt.
#
# Without a container engine `make test-docker` carries out the same steps and tests the result (scripts/image).
# Build arguments: VERSION (what `ngmqd version` shows), OPENSSL_VERSION and NGTCP2_VERSION (third_party/pins.other
# has them; empty: the pinned ones), GO_VERSION and DEBIAN (the tag of the golang image).

ARG GO_VERSION=1.26
ARG DEBIAN=trixie

FROM golang:${GO_VERSION}-${DEBIAN} AS build
WORKDIR /src

# The native libraries first: they change seldom, so their layer stays while the sources change.
COPY go.mod go.sum ./
COPY scripts/deps.sh scripts/third_party.sh scripts/
COPY scripts/third_party/ scripts/third_party/
COPY third_party/ third_party/
ARG OPENSSL_VERSION
ARG NGTCP2_VERSION
ENV SYSTEM_LIBS=0
RUN scripts/deps.sh build && scripts/third_party.sh
RUN go mod download

COPY . .
ARG VERSION=dev
RUN make build VERSION="$VERSION" LDFLAGS="-s -w" && \
    scripts/image_root.sh /image

FROM scratch
COPY --from=build /image/root/ /
COPY --from=build --chown=10001:10001 /image/owned/ /
ENV PATH=/usr/bin \
    NGMQ_QUIC=0.0.0.0:14567 \
    NGMQ_TCP=0.0.0.0:1883 \
    NGMQ_TLS=0.0.0.0:8883 \
    NGMQ_DATA_DIR=/data
WORKDIR /data
VOLUME ["/data"]
EXPOSE 14567/udp 1883/tcp 8883/tcp
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 CMD ["/usr/bin/ngmqd", "health"]
ENTRYPOINT ["/usr/bin/ngmqd"]
