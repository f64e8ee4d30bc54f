# An image with nothing in it but connstorm: no shell, no libc, no root.
#
#   scripts/package && scripts/image-files target/package && docker build --tag connstorm .
#   docker run --rm --network host connstorm run ws://127.0.0.1:9001/chat --rate 100/s --duration 10s
#
# --network host: in a network of its own, a container's port range, TIME_WAITs and connection tracking are another's.
# The binary is the static one of scripts/package, so that image and release are the same program.
FROM scratch
ARG TARGETARCH
COPY target/image/${TARGETARCH}/connstorm /usr/bin/connstorm
# Roots for certificates of wss and https; without them give --ca.
COPY target/image/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY scenarios /scenarios
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/usr/bin/connstorm"]
CMD ["--help"]
