# Millrace in one image: nginx with the module, and the daemons.  The first
# argument says what it is to be:
#
#   docker run millrace nginx | setup | writer | stats | query
#
# compose.yaml starts all of them with Kafka and MongoDB.  Everything is
# configured by the environment (docs/configuration.md), and for nginx:
#
#   MILLRACE_KAFKA_BROKERS  host:port[,...]  127.0.0.1:9092
#   MILLRACE_KAFKA_TOPIC                     events
#   MILLRACE_QUERY          host:port        127.0.0.1:8081
#   MILLRACE_LISTEN         address:port     0.0.0.0:8080

ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build

WORKDIR /millrace
COPY . .
# The Debian packages, so that an image is what an installation is.
RUN scripts/install build \
 && apt-get install -y -q --no-install-recommends \
        build-essential debhelper dpkg-dev fakeroot \
 && dpkg-buildpackage -b -us -uc -j"$(nproc)" \
 && mkdir /packages \
 && mv ../libnginx-mod-http-millrace_*.deb ../millrace-workers_*.deb /packages

FROM ${BASE}

# The packages' lists and manuals are of no use in an image.
COPY --from=build /packages /tmp/packages
RUN apt-get update -q \
 && apt-get install -y -q --no-install-recommends nginx /tmp/packages/*.deb \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
        /tmp/packages /usr/share/doc /usr/share/man
COPY conf/docker/entrypoint conf/docker/health /usr/lib/millrace/

USER millrace
EXPOSE 8080 8081 9101 9102 9103
# Of nginx, too, the entrypoint makes an orderly end of it.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/lib/millrace/health"]
ENTRYPOINT ["/usr/lib/millrace/entrypoint"]
CMD ["nginx"]
