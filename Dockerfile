# The image: one static binary, and the roots by which it trusts an ACME server
# (Mozilla's, from Debian's package ca-certificates in the image of Go), run by
# nobody in particular.
#
#   docker build -t eider .
#   docker run --rm -p 127.0.0.1:8025:8025 -p 127.0.0.1:1025:1025 eider
#
# It is in dev mode and trusts private networks, where containers live: publish
# its ports on 127.0.0.1 only, as above. For strangers set EIDER_PUBLIC_HOST and
# the listeners (docs/operating.md).
ARG GO=1.26

FROM --platform=$BUILDPLATFORM golang:${GO} AS build
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} go build -trimpath -buildvcs=false \
    -ldflags "-s -w -buildid= -X main.version=${VERSION}" -o /image/eider ./cmd/eider \
    && mkdir -p /image/data /image/tmp /image/etc/ssl/certs \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/

FROM scratch
COPY --from=build --chown=65532:65532 /image/ /
USER 65532:65532
ENV EIDER_DATA=/data \
    EIDER_HTTP=:8025 \
    EIDER_SMTP=:1025 \
    EIDER_SMTPS=:1465 \
    EIDER_MX=:1026 \
    EIDER_IMAP=:1143 \
    EIDER_IMAPS=:1993 \
    EIDER_POP3=:1110 \
    EIDER_POP3S=:1995 \
    EIDER_TRUSTED_NETS=127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7
VOLUME /data
EXPOSE 8025 1025 1465 1026 1143 1993 1110 1995
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["/eider", "health"]
ENTRYPOINT ["/eider"]
